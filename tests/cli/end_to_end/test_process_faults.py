"""Process faults of a running fleet: deaths of supervisor, forker, agents and clients, and a full disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from argosy.engine.control.control_client import connect
from argosy.engine.process import lease
from argosy.engine.protocol.state_machine import State
from argosy.engine.state.state_dir import locate_state_dir
from rig.needs import require

from ..conftest import is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

# Waits for a line in the fifo `gate`, then holds a lock of its own: a second one of its name leaves a mark.
GATED = """
import fcntl, os, signal, socket, sys
name = os.environ["ARGOSY_AGENT"]
if "gated" in sys.argv:
    open("gate").read(1)
witness = open(f"{name}.witness", "a")
try:
    fcntl.flock(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(f"{name}.twice", "w")
out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while True:  # readiness is a level: nobody may be listening just now
    try:
        out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    except OSError:
        pass
    signal.sigtimedwait([], 0.1)
"""

PAIR = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  A: {run: gated.py}
  B: {run: gated.py, needs: [A]%s}
"""
SPAWNED = PAIR.replace("notify}", "notify}, start: spawn")
# B and C are a zygote's, A is the forker's.
BOTH = PAIR.replace("A: {run: gated.py}", "A: {run: gated.py, start: spawn}") + "  C: {run: gated.py}\n"


@pytest.fixture
def pair(rig: Rig) -> Iterator[Rig]:
    """Two agents with a witness of their own; never may one of them run twice."""
    rig.write(GATED, "gated.py")
    rig.write(PAIR % "")
    yield rig
    assert list(rig.folder.glob("*.twice")) == []


def supervisor(rig: Rig) -> int:
    pid: int = rig.json("status")["supervisor"]["pid"]
    return pid


def forker(rig: Rig) -> int:
    """Return the pid of the forker, the child of the supervisor that runs one."""
    pid = supervisor(rig)
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"argosy.engine.fork.forker" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("there is no forker")


def fleet_state_dir(rig: Rig) -> Path:
    return Path(rig.json("status")["folder"])


def pids(rig: Rig) -> dict[str, int]:
    return {name: agent["pid"] for name, agent in rig.agents().items()}


def events(rig: Rig, kind: str = "state") -> list[dict[str, object]]:
    """Return the event log's events of a kind."""
    lines = (fleet_state_dir(rig) / "event-log").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line.partition(" ")[2]))["kind"] == kind]


def is_state(rig: Rig, agent: str, state: str) -> bool:
    return bool(rig.agents().get(agent, {}).get("state") == state)


def order_while_stopped(
    rig: Rig, act: Callable[[int], object], undo: Callable[[], object] = lambda: None
) -> tuple[int, subprocess.Popen[bytes]]:
    """Order B from a forker that is stopped, do something with its pid, and return it and the `up`.

    A stopped forker is ended after a second, which is too soon on a busy machine: then all of it again.
    """
    for _ in range(10):
        rig.json("up", "-d", "--only", "A")
        old = forker(rig)
        os.kill(old, signal.SIGSTOP)
        up = rig.start("up", "-d", "--json")
        rig.until(lambda old=old: is_starting(rig, "B") or not is_alive(old))  # type: ignore[misc]
        try:
            act(old)
        except ProcessLookupError:
            undo()
            up.communicate(timeout=40)
            rig.json("down")
        else:
            return old, up
    raise AssertionError("no order was seen in time")


def is_starting(rig: Rig, agent: str) -> bool:
    """Return whether a start is under way, asked at once: `argosy status` takes its time."""
    client = connect(locate_state_dir(rig.folder / "fleet.yaml", rig.env), "test")
    if client is None:
        return False
    with client:
        return client.fetch_status().agents[agent].state is State.STARTING


# ---- the supervisor dies


def test_up_replaces_supervisor_killed_during_apply(pair: Rig) -> None:
    pair.write(PAIR % ", args: [gated]")
    os.mkfifo(pair.folder / "gate")
    up = pair.start("up", "-d", "--json")
    pair.until(lambda: is_state(pair, "B", "starting") and pair.pid("B") is not None)
    before, first = pids(pair), supervisor(pair)
    pair.kill_supervisor()
    pair.until(lambda: (pair.json("status")["supervisor"] or {"pid": first})["pid"] != first)
    pair.until(lambda: is_state(pair, "A", "ready"))
    (pair.folder / "gate").write_text("g")
    pair.until(lambda: is_state(pair, "B", "ready"))
    out, _ = up.communicate(timeout=30)
    assert up.returncode == 0, out
    assert sorted(json.loads(out)["ready"]) == ["A", "B"]
    assert pids(pair) == before


def test_up_fails_after_second_supervisor_crash(pair: Rig) -> None:
    pair.write(PAIR % ", args: [gated]")
    os.mkfifo(pair.folder / "gate")
    up = pair.start("up", "-d")
    for _ in range(2):
        pair.until(lambda: pair.json("status")["supervisor"] is not None and is_state(pair, "B", "starting"))
        pair.until(lambda: pair.json("status")["agents"]["A"]["state"] == "ready")
        pair.kill_supervisor()
    out, _ = up.communicate(timeout=30)
    assert up.returncode == 1
    assert b"the agents keep running" in out


def test_spawn_request_of_dead_supervisor_starts_no_agent(pair: Rig) -> None:
    pair.write(SPAWNED % "")
    pair.json("up", "-d")
    old = forker(pair)
    os.kill(old, signal.SIGSTOP)
    os.kill(pair.pid("B"), signal.SIGKILL)  # its end is told to nobody while the forker is stopped
    os.kill(pair.pid("A"), signal.SIGKILL)
    pair.kill_supervisor()
    up = pair.start("up", "-d", "--json")
    pair.until(lambda: is_state(pair, "A", "ready") and is_state(pair, "B", "ready"))
    before = pids(pair)
    pair.until(lambda: not is_alive(old))  # the next supervisor ends it, stopped as it is
    up.communicate(timeout=30)
    assert pids(pair) == before


def test_child_waiting_for_lease_is_adopted_or_exits_after_supervisor_crash(pair: Rig) -> None:
    pair.write(SPAWNED % "")
    held: list[int] = []

    def hold_and_continue(forker: int) -> None:
        held[:] = [lease.open_lease(fleet_state_dir(pair) / "lease" / "B")]
        # The supervisor looks at it for a moment.
        pair.until(lambda: lease.try_lock(held[0]) or not is_alive(forker))
        os.kill(forker, signal.SIGCONT)

    stopped, up = order_while_stopped(pair, hold_and_continue, lambda: os.close(held[0]))
    first = supervisor(pair)
    # Another process holds it: what holds a lease for too long is killed.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=held) as holder:
        os.close(held[0])
        children = Path(f"/proc/{stopped}/task/{stopped}/children")
        pair.until(lambda: len(children.read_text().split()) == 2)
        up.kill()
        os.kill(first, signal.SIGKILL)
        holder.communicate()
    pair.until(lambda: not is_alive(first))
    assert sorted(pair.json("up", "-d")["ready"]) == ["A", "B"]


def test_stop_of_removed_agent_continues_after_supervisor_crash(pair: Rig) -> None:
    pair.write("import signal\nsignal.signal(15, signal.SIG_IGN)\nsignal.pause()\n", "deaf.py")
    pair.write((PAIR % "") + "  C: {run: deaf.py, stop_timeout: 30s, ready: {probe: alive, seconds: 0}}\n")
    pair.json("up", "-d")
    removed = pair.pid("C")
    pair.write(PAIR % "")
    up = pair.start("up", "-d")
    pair.until(lambda: is_state(pair, "C", "stopping"))
    up.kill()
    pair.kill_supervisor()
    assert is_alive(removed)
    os.kill(removed, signal.SIGSTOP)  # so that what ends it is seen to be meant
    second = pair.start("up", "-d", "--json")
    pair.until(lambda: is_state(pair, "C", "stopping"))
    os.kill(removed, signal.SIGKILL)
    out, _ = second.communicate(timeout=30)
    assert second.returncode == 0, out
    assert sorted(json.loads(out)["adopted"]) == ["A", "B"]
    assert set(pair.agents()) == {"A", "B"}


def test_supervisor_sigterm_ends_live_view_and_keeps_agents_running(pair: Rig) -> None:
    up = pair.start("up")
    assert up.stdout is not None
    while b"Ctrl-C stops it" not in up.stdout.readline():
        pass
    before, pid = pids(pair), supervisor(pair)
    os.kill(pid, signal.SIGTERM)
    out, _ = up.communicate(timeout=20)
    assert up.returncode == 0
    assert b"2 agents keep running" in out
    pair.until(lambda: not is_alive(pid))
    assert pair.json("status")["supervisor"] is None
    assert sorted(pair.json("up", "-d")["adopted"]) == ["A", "B"]
    assert pids(pair) == before


def test_down_from_other_client_ends_live_view_without_restart(pair: Rig) -> None:
    up = pair.start("up")
    assert up.stdout is not None
    while b"Ctrl-C stops it" not in up.stdout.readline():
        pass
    assert sorted(pair.json("down")["stopped"]) == ["A", "B"]
    out, _ = up.communicate(timeout=20)
    assert up.returncode == 0, out
    assert b"0 agents keep running" in out
    assert pair.json("status")["supervisor"] is None
    assert pair.leftovers() == []


def test_supervisor_without_agents_exits_after_client_disconnects(pair: Rig) -> None:
    code = (
        "import sys, pathlib\n"
        "from argosy.engine.supervisor.connect_or_start import connect_or_start\n"
        "from argosy.engine.state.state_dir import locate_state_dir\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "connect_or_start(path, 'toy', locate_state_dir(path), 'test')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(pair.folder / "fleet.yaml")], env=pair.env, check=True)
    pair.until(lambda: not pair.leftovers())


# ---- the forker dies


def test_supervisor_replaces_dead_forker_and_keeps_watching_its_agents(pair: Rig) -> None:
    pair.write(SPAWNED % "")
    pair.json("up", "-d")
    before, old = pids(pair), forker(pair)
    os.kill(old, signal.SIGKILL)
    pair.until(lambda: len(events(pair, "forker-lost")) == 1 and not is_alive(old))
    assert pids(pair) == before
    os.kill(before["B"], signal.SIGKILL)
    pair.until(lambda: is_state(pair, "B", "ready") and pair.pid("B") != before["B"])
    assert pair.pid("A") == before["A"]
    assert forker(pair) != old


def test_supervisor_repeats_spawn_request_after_forker_death(pair: Rig) -> None:
    pair.write(SPAWNED % "")
    _, up = order_while_stopped(pair, lambda forker: os.kill(forker, signal.SIGKILL))
    out, _ = up.communicate(timeout=30)
    assert up.returncode == 0, out
    assert events(pair, "spawn-timeout") == [], "it was ordered again at once"


@pytest.mark.parametrize("fleet", [BOTH, SPAWNED], ids=["beside a zygote", "alone"])
def test_stopped_forker_does_not_block_up_or_down(pair: Rig, fleet: str) -> None:
    pair.write(fleet % "")
    pair.json("up", "-d")
    before, old = pids(pair), forker(pair)
    os.kill(old, signal.SIGSTOP)
    down = pair.json("down")
    assert (sorted(down["stopped"]), down["killed"]) == (sorted(before), [])
    assert down["seconds"] < 1.0, "the second that a stopped forker has was waited for"
    assert not any(map(is_alive, [old, *before.values()]))
    pair.json("up", "-d", "--only", "A")
    before, old = pids(pair), forker(pair)
    os.kill(old, signal.SIGSTOP)
    assert sorted(pair.json("up", "-d")["ready"]) == sorted(pids(pair))
    assert pair.pid("A") == before["A"]
    pair.until(lambda: not is_alive(old) and forker(pair) != old)


# ---- an agent


def test_supervisor_notices_killed_agent_within_50_ms_and_restarts_it(pair: Rig) -> None:
    pair.json("up", "-d")
    noticed = []
    for _ in range(3):
        pid = pair.pid("B")
        killed_s = time.time()
        os.kill(pid, signal.SIGKILL)
        pair.until(lambda pid=pid: is_state(pair, "B", "ready") and pair.pid("B") != pid)  # type: ignore[misc]
        ends = [e for e in events(pair) if e["agent"] == "B" and e["state"] == "restart-pending"]
        noticed.append(float(str(ends[-1]["at_s"])) - killed_s)
    assert min(noticed) < 0.05, noticed  # the machine may be busy, the engine must not wait


def test_agent_flooding_notify_socket_does_not_block_other_agents(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        defaults: {ready: {probe: notify}}
        agents:
          A: {run: flood.py}
          B: {run: speaker.py, needs: [A]}
        """)
    rig.write(
        """
        import os, socket
        out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        while True:
            out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        """,
        "flood.py",
    )
    assert sorted(rig.json("up", "-d")["ready"]) == ["A", "B"]
    assert rig.json("down")["stopped"] != []


def test_supervisor_kills_detached_daemon_before_restart_of_agent(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [python3, daemon.py], ready: {probe: alive, seconds: 0}}
        """)
    rig.write(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            os.closerange(0, 256)
            with open("daemon.pid", "w") as file:
                file.write(str(os.getpid()))
            time.sleep(1000)
        time.sleep(1000)
        """,
        "daemon.py",
    )
    rig.json("up", "-d")
    mark = rig.folder / "daemon.pid"
    rig.until(lambda: mark.exists() and mark.read_text().isdigit())
    stray = int(mark.read_text())
    os.kill(rig.pid("A"), signal.SIGKILL)
    rig.until(lambda: rig.agents()["A"]["restarts"] == 1 and is_state(rig, "A", "ready"))
    assert not is_alive(stray)
    assert f"failing: leftover process {stray}" in [event.get("text") for event in events(rig)]


def test_agent_names_may_have_dots_dashes_and_80_characters(rig: Rig) -> None:
    names = ["a.b-c_d", "A" * 80, "A" * 79 + "B", "x.log"]
    agents = "".join(f"  {name}: {{run: speaker.py}}\n" for name in names)
    rig.write("fleet: toy\ndefaults: {ready: {probe: notify}}\nagents:\n" + agents)
    assert sorted(rig.json("up", "-d")["ready"]) == sorted(names)
    for name in names:
        rig.until(lambda name=name: f"up {name}" in rig.argosy("logs", name).stdout)  # type: ignore[misc]
    assert sorted(rig.json("down")["stopped"]) == sorted(names)


@pytest.mark.slow
def test_up_and_down_handle_300_agents(rig: Rig) -> None:
    agents = "".join(f"  S{at}: {{run: [sleep, '1000']}}\n" for at in range(300))
    rig.write("fleet: toy\ndefaults: {ready: {probe: alive, seconds: 0}}\nagents:\n" + agents)
    assert len(rig.json("up", "-d")["ready"]) == 300
    assert len(rig.json("down")["stopped"]) == 300


# ---- clients


def test_two_concurrent_ups_start_one_supervisor(pair: Rig) -> None:
    ups = [pair.start("up", "-d", "--json") for _ in range(2)]
    outs = [up.communicate(timeout=40)[0] for up in ups]
    codes = sorted(up.returncode for up in ups)
    assert codes in ([0, 0], [0, 1]), outs
    if 1 in codes:
        assert any(b'"busy"' in out for out in outs)
    assert len(events(pair, "supervisor")) == 1
    assert all(agent["state"] == "ready" for agent in pair.agents().values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_ctrl_c_kills_agents(rig: Rig, number: int) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: speaker.py, args: [deaf], ready: {probe: notify}, stop_timeout: 1000s}
        """)
    up = rig.start("up")
    assert up.stdout is not None
    while b"Ctrl-C stops it" not in up.stdout.readline():
        pass
    os.kill(up.pid, number)
    rig.until(lambda: is_state(rig, "A", "stopping"))
    os.kill(up.pid, number)
    out, _ = up.communicate(timeout=20)
    assert up.returncode == 130, out
    assert b"1 stopped, 1 of them killed" in out
    rig.until(lambda: not rig.leftovers())


def test_up_is_refused_while_down_runs(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: speaker.py, args: [deaf], ready: {probe: notify}, stop_timeout: 1000s}
        """)
    rig.json("up", "-d")
    down = rig.start("down", "--json")
    rig.until(lambda: is_state(rig, "A", "stopping"))
    error = rig.json("up", "-d", code=1)["errors"][0]
    assert error["code"] == "busy"
    assert f"`argosy down` (pid {down.pid})" in error["message"]
    os.kill(rig.pid("A"), signal.SIGKILL)
    out, _ = down.communicate(timeout=20)
    assert json.loads(out)["stopped"] == ["A"]


def test_ctrl_c_stops_agents_waiting_for_max_starting(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        max_starting: 1
        defaults: {ready: {probe: notify}}
        agents:
          A: {run: [sleep, "1000"]}
          B: {run: [sleep, "1000"]}
        """)
    up = rig.start("up", "-d")
    rig.until(lambda: is_state(rig, "B", "starting"))
    os.kill(up.pid, signal.SIGINT)
    up.communicate(timeout=20)
    assert up.returncode == 130
    rig.until(lambda: not rig.leftovers())


# ---- the file, the environment, the disk


def test_up_restarts_no_agent_for_moved_lines_or_changed_edges(pair: Rig) -> None:
    pair.json("up", "-d")
    before = pids(pair)
    moved = (PAIR % ", stop_timeout: 3s").replace("agents:", "\n# a comment\nagents:")
    pair.write(moved.replace("needs", "wants"))
    done = pair.argosy("up", "-d")
    assert done.returncode == 0, done.stderr
    assert "2 agents declared: 2 run already" in done.stderr
    assert pids(pair) == before


def test_output_and_logs_hide_secret_env_values(pair: Rig) -> None:
    pair.write(PAIR % ", env: {API_TOKEN: hunter2-secret}")
    said = [
        pair.argosy("up", "-d"),
        pair.argosy("status"),
        pair.argosy("status", "--json"),
        pair.argosy("logs"),
    ]
    pair.write(PAIR % ", env: {API_TOKEN: hunter2-secret-2}")
    said += [pair.argosy("up", "-d", "--json"), pair.argosy("restart", "B")]
    assert "API_TOKEN=hunter2-secret-2" in Path(f"/proc/{pair.pid('B')}/environ").read_text()
    folder = fleet_state_dir(pair)
    said += [pair.argosy("down")]
    assert all("hunter2" not in done.stdout + done.stderr for done in said)
    assert "hunter2" not in (folder / "event-log").read_text() + (folder / "supervisor.log").read_text()
    assert (folder / "applied.json").stat().st_mode & 0o777 == 0o600


def test_argosy_masks_secrets_in_quoted_agent_output(pair: Rig) -> None:
    pair.write("import os, sys\nprint('no access with', os.environ['API_TOKEN'])\nsys.exit(3)\n", "teller.py")
    restart = "restart: never, env: {API_TOKEN: hunter2-secret, DB: 'redis://me:swordfish@db'}"
    pair.write((PAIR % "") + f"  C: {{run: teller.py, {restart}}}\n")
    said = [
        pair.argosy("up", "-d"),
        pair.argosy("up", "-d", "--json"),
        pair.argosy("status"),
        pair.argosy("status", "--json"),
    ]
    assert "no access with ***" in said[0].stderr + said[0].stdout
    said[0].stdout += (fleet_state_dir(pair) / "event-log").read_text()
    pair.write((PAIR % "") + "  C: {run: teller.py, env: API_TOKEN=hunter2-secret}\n")
    said += [pair.argosy("check"), pair.argosy("check", "--json"), pair.argosy("up", "-d")]
    assert "API_TOKEN=***" in said[-1].stderr
    assert all("hunter2" not in done.stdout + done.stderr for done in said)


def test_agent_receives_non_utf8_environment_variable(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        defaults: {ready: {probe: alive, seconds: 0}}
        agents:
          A: {run: [sh, -c, 'printf "%s\\n" "$ODD" > odd; exec sleep 1000']}
        """)
    rig.json("up", "-d", env={"ODD": os.fsdecode(b"a\xffb")})
    rig.until(lambda: (rig.folder / "odd").exists() and (rig.folder / "odd").read_bytes() == b"a\xffb\n")


@pytest.fixture
def small_disk(pair: Rig) -> Iterator[Path]:
    """A disk of 256 KiB under the state folder."""
    require("mount", "umount")
    disk = pair.folder / "state"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield disk
    pair.argosy("down")
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_fleet_keeps_running_on_full_disk_and_up_reports_it(pair: Rig, small_disk: Path) -> None:
    pair.json("up", "-d")
    before = pids(pair)
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    os.kill(before["B"], signal.SIGKILL)
    pair.until(lambda: is_state(pair, "B", "ready") and pair.pid("B") != before["B"])
    running = pids(pair)
    pair.write((PAIR % "") + "  C: {run: gated.py}\n")
    error = pair.json("up", "-d", code=1)["errors"][0]
    assert re.search(r"No space left on device; nothing was changed", error["message"])
    assert pids(pair) == running
    ballast.unlink()
    assert sorted(pair.json("up", "-d")["ready"]) == ["A", "B", "C"]
    assert {name: pids(pair)[name] for name in "AB"} == running
