"""`argosy up`, with status, restart and down: starts, failed starts, Ctrl-C and invalid input."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ..conftest import ARGOSY, is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

CHAIN = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  C: {run: speaker.py, needs: [B]}
  B: {run: speaker.py, needs: [A]}
  A: {run: speaker.py}
  D: {run: [sleep, "1000"], ready: {probe: alive, seconds: 0.05}}
"""


def is_renewed(agent: dict[str, Any], before: int) -> bool:
    """Return whether an agent is ready in another process than before."""
    return agent["state"] == "ready" and agent["pid"] != before


def test_up_status_and_down_json_follow_contract(rig: Rig) -> None:
    rig.write(CHAIN)
    up = rig.json("up", "-d")
    assert (up["argosy"], up["declared"], sorted(up["ready"])) == ("up/1", 4, ["A", "B", "C", "D"])
    assert (up["not_ready"], up["left_out"], up["adopted"], up["degraded"]) == ({}, {}, [], [])
    path = [step["agent"] for step in up["critical_path"]]
    assert path in (["A", "B", "C"], ["D"])
    assert 0 < up["critical_path_seconds"] <= up["seconds"]

    status = rig.json("status")
    assert status["fleet"] == "toy"
    assert status["environment"] == "testing"
    assert status["hub"] is None
    assert is_alive(status["supervisor"]["pid"])
    assert set(status["agents"]["A"]) >= {"state", "health", "pid", "machine", "port", "restarts", "since"}
    assert all(agent["state"] == "ready" for agent in status["agents"].values())

    down = rig.json("down")
    assert (down["argosy"], sorted(down["stopped"]), down["killed"]) == ("down/1", ["A", "B", "C", "D"], [])
    assert rig.leftovers() == []
    assert rig.json("down")["stopped"] == []


def test_second_up_adopts_running_agents(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d")
    pids = {name: agent["pid"] for name, agent in rig.agents().items()}
    again = rig.json("up", "-d")
    assert sorted(again["adopted"]) == ["A", "B", "C", "D"]
    assert {name: agent["pid"] for name, agent in rig.agents().items()} == pids


def test_needs_start_before_and_stop_after_their_dependents(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d")
    down = rig.argosy("down", "--json")
    folder = rig.folder / "state" / "argosy"
    event_log = next(folder.glob("*/event-log")).read_text()
    events = [json.loads(line.partition(" ")[2]) for line in event_log.splitlines()]
    order = [(e["agent"], e["state"]) for e in events if e["kind"] == "state"]
    assert order.index(("A", "ready")) < order.index(("B", "starting"))
    assert order.index(("B", "ready")) < order.index(("C", "starting"))
    assert order.index(("C", "exited")) < order.index(("B", "stopping"))
    assert order.index(("B", "exited")) < order.index(("A", "stopping"))
    assert down.returncode == 0


def test_supervisor_restarts_only_killed_agent(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d")
    before = {name: agent["pid"] for name, agent in rig.agents().items()}
    os.kill(before["A"], signal.SIGKILL)
    rig.until(lambda: rig.agents()["A"]["state"] == "ready" and rig.pid("A") != before["A"])
    after = rig.agents()
    assert after["A"]["restarts"] == 1
    assert {name: after[name]["pid"] for name in "BCD"} == {name: before[name] for name in "BCD"}


def test_supervisor_adopts_agents_after_crash(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d")
    before = {name: agent["pid"] for name, agent in rig.agents().items()}
    rig.kill_supervisor()
    assert rig.json("status")["supervisor"] is None
    assert {name: agent["pid"] for name, agent in rig.agents().items()} == before
    os.kill(before["B"], signal.SIGKILL)
    rig.until(lambda: not is_alive(before["B"]))
    up = rig.json("up", "-d")
    assert sorted(up["ready"]) == ["A", "B", "C", "D"]
    assert sorted(up["adopted"]) == ["A", "C", "D"]
    after = {name: agent["pid"] for name, agent in rig.agents().items()}
    assert {name: after[name] for name in "ACD"} == {name: before[name] for name in "ACD"}
    # An adopted agent is watched like any other.
    os.kill(after["A"], signal.SIGKILL)
    rig.until(lambda: rig.agents()["A"]["state"] == "ready" and rig.pid("A") != after["A"])


def test_down_stops_agents_without_supervisor(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d")
    rig.kill_supervisor()
    assert sorted(rig.json("down")["stopped"]) == ["A", "B", "C", "D"]
    rig.until(lambda: not rig.leftovers())  # what served the dead supervisor ends by itself


def test_up_applies_only_differences_of_changed_file(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d")
    before = {name: agent["pid"] for name, agent in rig.agents().items()}
    changed = CHAIN.replace('D: {run: [sleep, "1000"]', 'E: {run: [sleep, "1000"]')
    rig.write(
        changed.replace("C: {run: speaker.py,", "C: {run: speaker.py, args: [deaf], stop_timeout: 200ms,")
    )
    done = rig.argosy("up", "-d")
    assert done.returncode == 0, done.stderr
    assert "1 to start, 1 to restart, 1 to stop, 2 run already" in done.stderr
    after = rig.agents()
    assert set(after) == {"A", "B", "C", "E"}
    assert {name: after[name]["pid"] for name in "AB"} == {name: before[name] for name in "AB"}
    assert after["C"]["pid"] != before["C"]
    assert not is_alive(before["D"])
    down = rig.json("down")
    assert down["killed"] == ["C"], "it ignores TERM, and its grace is over after 0.2 s"


def test_up_only_starts_named_agents_with_needs_and_counts_all(rig: Rig) -> None:
    rig.write(CHAIN)
    up = rig.json("up", "-d", "--only", "B")
    assert sorted(up["ready"]) == ["A", "B"]
    assert up["left_out"] == {"C": "not named by `--only`", "D": "not named by `--only`"}
    assert len(up["ready"]) + len(up["not_ready"]) + len(up["left_out"]) == up["declared"]
    error = rig.json("up", "-d", "--only", "Bee", code=2)["errors"][0]
    assert "`Bee`" in error["message"]


def test_restart_replaces_only_named_agent(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d")
    before = {name: agent["pid"] for name, agent in rig.agents().items()}
    done = rig.json("restart", "A")
    assert (done["argosy"], done["restarted"], done["reconnected"]) == ("restart/1", ["A"], ["B"])
    after = {name: agent["pid"] for name, agent in rig.agents().items()}
    assert after["A"] != before["A"]
    assert {name: after[name] for name in "BCD"} == {name: before[name] for name in "BCD"}


@pytest.mark.parametrize(("on_death", "state"), [("wait", "ready"), ("degrade", "degraded")])
def test_on_death_wait_and_degrade_keep_dependent_running(rig: Rig, on_death: str, state: str) -> None:
    rig.write(f"""
        fleet: toy
        defaults: {{ready: {{probe: notify}}}}
        agents:
          A: {{run: speaker.py, restart: never}}
          B: {{run: speaker.py, needs: [{{agent: A, on_death: {on_death}}}]}}
        """)
    rig.json("up", "-d")
    pid = rig.pid("B")
    os.kill(rig.pid("A"), signal.SIGKILL)
    rig.until(lambda: rig.agents()["A"]["state"] == "exited")
    assert rig.agents()["B"]["state"] == state
    assert rig.pid("B") == pid


@pytest.mark.parametrize("on_death", ["restart", "stop"])
def test_on_death_restart_and_stop_replace_dependent(rig: Rig, on_death: str) -> None:
    rig.write(f"""
        fleet: toy
        defaults: {{ready: {{probe: notify}}}}
        agents:
          A: {{run: speaker.py}}
          B: {{run: speaker.py, needs: [{{agent: A, on_death: {on_death}}}]}}
        """)
    rig.json("up", "-d")
    old_a, old_b = rig.pid("A"), rig.pid("B")
    os.kill(old_a, signal.SIGKILL)

    def is_renewed() -> bool:
        agents = rig.agents()
        return all(agents[name]["state"] == "ready" for name in "AB") and agents["B"]["pid"] != old_b

    rig.until(is_renewed)
    assert not is_alive(old_b)


def test_ctrl_c_during_start_leaves_no_process(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: speaker.py, ready: {probe: notify}}
          B: {run: [sleep, "1000"], needs: [A], ready: {probe: notify}}
        """)
    up = rig.start("up", "-d")
    rig.until(lambda: rig.agents().get("B", {}).get("state") == "starting")
    os.kill(up.pid, signal.SIGINT)
    out, _ = up.communicate(timeout=20)
    assert up.returncode == 130, out
    assert rig.leftovers() == []


def test_ctrl_c_with_detach_stops_only_agents_of_this_start(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: speaker.py, ready: {probe: notify}}
          B: {run: [sleep, "1000"], needs: [A], ready: {probe: notify}}
        """)
    rig.json("up", "-d", "--only", "A")
    pid = rig.pid("A")
    up = rig.start("up", "-d")
    rig.until(lambda: rig.agents()["B"]["state"] == "starting")
    os.kill(up.pid, signal.SIGINT)
    up.communicate(timeout=20)
    assert up.returncode == 130
    assert rig.agents()["B"]["state"] == "exited"
    assert rig.pid("A") == pid


def test_fleet_keeps_running_after_terminal_closes(rig: Rig) -> None:
    """A lost connection is no order to stop; Ctrl-C is one."""
    rig.write(CHAIN)
    leader, terminal = pty.openpty()
    up = subprocess.Popen(
        ["setsid", "--ctty", "--wait", ARGOSY, "up"],
        cwd=rig.folder,
        env=rig.env,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests may run under nohup
    )
    os.close(terminal)
    rig.until(lambda: sum(agent["state"] == "ready" for agent in rig.agents().values()) == 4)
    before = {name: agent["pid"] for name, agent in rig.agents().items()}
    os.close(leader)
    assert up.wait(20) != 0
    assert {name: agent["pid"] for name, agent in rig.agents().items()} == before
    assert all(agent["state"] == "ready" for agent in rig.agents().values())
    assert sorted(rig.json("down")["stopped"]) == sorted(before)


def test_without_detach_ctrl_c_stops_the_fleet(rig: Rig) -> None:
    rig.write(CHAIN)
    up = rig.start("up")
    rig.until(lambda: sum(agent["state"] == "ready" for agent in rig.agents().values()) == 4)
    assert up.stdout is not None
    while b"Ctrl-C stops it" not in up.stdout.readline():
        pass
    os.kill(up.pid, signal.SIGINT)
    out, _ = up.communicate(timeout=20)
    assert up.returncode == 130
    assert b"4 stopped" in out
    rig.until(lambda: not rig.leftovers())


def test_concurrent_up_is_refused_and_names_pid_of_first(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [sleep, "1000"], ready: {probe: notify}}
        """)
    first = rig.start("up", "-d")
    rig.until(lambda: rig.agents().get("A", {}).get("state") == "starting")
    error = rig.json("up", "-d", code=1)["errors"][0]
    assert error["code"] == "busy"
    assert f"pid {first.pid}" in error["message"]


def test_fleet_keeps_running_after_up_is_killed(rig: Rig) -> None:
    rig.write(CHAIN)
    up = rig.start("up")
    rig.until(lambda: sum(agent["state"] == "ready" for agent in rig.agents().values()) == 4)
    up.kill()
    up.wait()
    assert all(agent["state"] == "ready" for agent in rig.agents().values())


# ---- what does not get ready


def test_up_reports_exiting_agent_and_blocked_dependent(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        defaults: {backoff: {first: 10ms, most: 20ms}, restart_limit: {times: 2, within: 60s}}
        agents:
          A: {run: [sh, -c, "echo no luck; exit 3"]}
          B: {run: speaker.py, needs: [A]}
          C: {run: speaker.py, ready: {probe: notify}}
        """)
    up = rig.json("up", "-d", code=1)
    assert up["ready"] == ["C"]
    assert "exited with code 3" in up["not_ready"]["A"]
    assert "no luck" in up["not_ready"]["A"]
    assert "blocked" in up["not_ready"]["B"]
    assert "`A`" in up["not_ready"]["B"]


def test_up_reports_blocked_agents_with_root_cause(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        defaults: {restart: never}
        agents:
          A: {run: [sh, -c, "exit 3"], ready: {probe: notify}}
          B: {run: speaker.py, needs: [A]}
          C: {run: speaker.py, needs: [B]}
          D: {run: speaker.py, needs: [C]}
        """)
    reasons = rig.json("up", "-d", code=1)["not_ready"]
    assert reasons["C"] == f"blocked, needs `B`, blocked by `A`: {reasons['A']}"
    assert reasons["D"] == f"blocked, needs `C`, blocked by `A`: {reasons['A']}"
    told = rig.argosy("up", "-d").stdout.splitlines()
    assert [line for line in told if "blocks" in line] == ["  blocks 3: B, C, D"]
    assert sum("exited with code 3" in line for line in told) == 1


def test_up_timeout_reports_last_failure_of_restarting_agent(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        defaults: {backoff: {first: 10ms, most: 10ms}, restart_limit: {times: 2, within: 60s}}
        agents:
          A:
            run: [sh, -c, "[ -e tried ] && exec sleep 1000; touch tried; echo no luck; exit 3"]
            ready: {probe: notify}
        """)
    reason = rig.json("up", "-d", "--timeout", "2", code=1)["not_ready"]["A"]
    assert "was starting when the 2 s of this start were over; restarted 1 time, the last: exited" in reason
    assert "no luck" in reason


def test_start_timeout_stops_agent_that_is_never_ready(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A:
            run: [sh, -c, "echo still loading; exec sleep 1000"]
            ready: {probe: notify}
            start_timeout: 300ms
        """)
    up = rig.json("up", "-d", code=1)
    assert "was not ready after 0.3 s" in up["not_ready"]["A"]
    assert "still loading" in up["not_ready"]["A"]
    rig.until(lambda: not rig.leftovers())  # nothing is ready, so the supervisor ends too


def test_up_timeout_limits_whole_start(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [sleep, "1000"], ready: {probe: notify}}
          B: {run: speaker.py, ready: {probe: notify}}
        """)
    up = rig.json("up", "-d", "--timeout", "0.8", code=1)
    assert up["ready"] == ["B"]
    assert "0.8 s" in up["not_ready"]["A"] or "1 s" in up["not_ready"]["A"]
    assert rig.agents()["A"]["pid"] is None


def test_up_exits_0_if_only_optional_agents_fail(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [sh, -c, "exit 3"], required: false, restart: never}
          B: {run: speaker.py, ready: {probe: notify}}
        """)
    up = rig.json("up", "-d")
    assert up["ready"] == ["B"]
    assert list(up["not_ready"]) == ["A"]


def test_up_reports_missing_script_with_place_and_starts_others(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: nowhere.py}
          B: {run: speaker.py, ready: {probe: notify}}
        """)
    up = rig.json("up", "-d", code=1)
    assert up["ready"] == ["B"]
    assert "fleet.yaml:4:3" in up["not_ready"]["A"]
    assert "nowhere.py" in up["not_ready"]["A"]


def test_up_reports_missing_command(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [no-such-program, "1"]}
        """)
    up = rig.json("up", "-d", code=1)
    assert "`no-such-program` was not found" in up["not_ready"]["A"]


def test_up_names_stale_process_on_port_and_does_not_accept_it(rig: Rig) -> None:
    with socket.socket() as stale:
        stale.bind(("127.0.0.1", 0))
        stale.listen()
        port = stale.getsockname()[1]
        rig.write(f"""
            fleet: toy
            defaults: {{backoff: {{first: 10ms, most: 10ms}}, restart_limit: {{times: 2, within: 60s}}}}
            agents:
              A: {{run: [sleep, "1000"], port: {port}, ready: {{probe: tcp}}}}
            """)
        up = rig.json("up", "-d", code=1)
    assert up["ready"] == []
    assert f"port {port} held by pid {os.getpid()}" in up["not_ready"]["A"]


def test_readiness_from_other_process_is_ignored(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [python3, liar.py], ready: {probe: notify}, start_timeout: 600ms}
          B: {run: [python3, liar.py], ready: {probe: notify, notify: all}}
        """)
    rig.write(
        """
        import os, socket, time
        if os.fork() == 0:
            out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
            os._exit(0)
        time.sleep(1000)
        """,
        "liar.py",
    )
    up = rig.json("up", "-d", code=1)
    assert up["ready"] == ["B"]


def test_supervisor_kills_child_processes_of_dead_agent(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [sh, -c, "sleep 1000 & exec sleep 1000"]}
        """)
    rig.json("up", "-d")
    os.kill(rig.pid("A"), signal.SIGKILL)
    rig.until(lambda: rig.agents()["A"]["restarts"] == 1 and rig.agents()["A"]["state"] == "ready")
    sleeps = [line for line in rig.leftovers() if line.startswith("sleep")]
    assert len(sleeps) == 2, sleeps


def test_supervisor_kills_daemon_that_left_session_of_agent(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [python3, daemon.py], restart: always}
        """)
    rig.write(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
        time.sleep(1000)
        """,
        "daemon.py",
    )
    rig.json("up", "-d")
    os.kill(rig.pid("A"), signal.SIGKILL)
    rig.until(lambda: rig.agents()["A"]["state"] == "ready" and rig.agents()["A"]["restarts"] == 1)
    rig.json("down")
    rig.until(lambda: not rig.leftovers())


def test_watchdog_restarts_frozen_agent(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: beater.py, ready: {probe: notify}, liveness: {watchdog: 400ms}, stop_timeout: 200ms}
        """)
    rig.write(
        """
        import os, socket, time
        out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        while True:
            out.sendto(b"READY=1\\nWATCHDOG=1", os.environ["NOTIFY_SOCKET"])
            time.sleep(0.1)
        """,
        "beater.py",
    )
    rig.json("up", "-d")
    before = rig.pid("A")
    os.kill(before, signal.SIGSTOP)
    rig.until(lambda: is_renewed(rig.agents()["A"], before))


@pytest.mark.parametrize(
    "liveness",
    ["{watchdog: 400ms}", "{probe: exec, command: [test, -e, second], every: 0.2s, failures: 1}"],
    ids=["watchdog", "probe"],
)
def test_last_exit_reason_is_kept_after_restart(rig: Rig, liveness: str) -> None:
    rig.write(f"""
        fleet: toy
        agents:
          A: {{run: mute.py, ready: {{probe: notify}}, liveness: {liveness}}}
          B: {{run: speaker.py, ready: {{probe: notify}}}}
        """)
    rig.write(
        """
        import contextlib, os, socket, time
        out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        is_second = os.path.exists("first")
        open("second" if is_second else "first", "w").close()
        out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        print("no end of line", end="", flush=True)
        while True:
            time.sleep(0.1)
            with contextlib.suppress(OSError):  # no supervisor is there just now
                out.sendto(b"WATCHDOG=1" if is_second else b"", os.environ["NOTIFY_SOCKET"])
        """,
        "mute.py",
    )
    rig.json("up", "-d")
    rig.until(lambda: rig.agents()["A"]["restarts"] == 1 and rig.agents()["A"]["state"] == "ready")
    told = rig.agents()
    words = "sent no heartbeat for" if "watchdog" in liveness else "exited with code 1"
    assert words in told["A"]["last_exit"]["reason"]
    assert 0 < told["A"]["last_exit"]["at"] <= told["A"]["since"]
    assert told["B"]["last_exit"] is None
    ended = [line for line in rig.argosy("logs", "A").stdout.splitlines() if "--- terminated: " in line]
    assert words in ended[0]
    assert "no end of line" not in ended[0], "it is a line of its own"
    text = next(line for line in rig.argosy("status").stdout.splitlines() if line.startswith("A "))
    assert words in text
    rig.kill_supervisor()
    rig.json("up", "-d")
    assert words in rig.agents()["A"]["last_exit"]["reason"], "the next supervisor knows it too"


# ---- bad input


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "fleet.yaml"),
        ("fleet: [", "fleet.yaml:"),
        ("fleet: toy\nagents:\n  A: {run: speaker.py, nedds: [B]}\n", "`needs`"),
        (
            "fleet: toy\nagents:\n  A: {run: speaker.py, needs: [B]}\n  B: {run: speaker.py, needs: [A]}\n",
            "cycle",
        ),
        ("fleet: toy\nagents:\n  A: {run: speaker.py, needs: [Bee]}\n  Bees: {run: x.py}\n", "`Bees`"),
    ],
)
def test_up_exits_2_for_invalid_fleet_file(rig: Rig, text: str, words: str) -> None:
    rig.write(text)
    done = rig.argosy("up", "-d")
    assert done.returncode == 2, done
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert rig.leftovers() == []


def test_up_of_unknown_environment_lists_known_ones(rig: Rig) -> None:
    rig.write(CHAIN)
    done = rig.argosy("up", "-d", env={"ENV_TYPE": "prodcution"})
    assert done.returncode == 2
    assert "production" in done.stderr


def test_up_reports_unset_address_variable_with_place(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        machines: {main: {}}
        environments: {production: {main: $MAINPC_IP}}
        agents:
          A: {run: speaker.py, machine: main, port: 7000}
        """)
    error = rig.json("up", "-d", code=2, env={"ENV_TYPE": "production"})["errors"][0]
    assert "MAINPC_IP" in error["message"]
    assert error["where"].startswith("fleet.yaml:4:")


def test_up_without_fleet_file_hints_at_import(rig: Rig) -> None:
    done = rig.argosy("up", "-d")
    assert done.returncode == 2
    assert "argosy import" in done.stderr


def test_status_and_logs_of_fleet_without_start_are_empty(rig: Rig) -> None:
    rig.write(CHAIN)
    assert rig.json("status")["agents"] == {}
    assert rig.argosy("logs").stdout == ""
    assert isinstance(rig.argosy("status"), subprocess.CompletedProcess)


# ---- found by hand


def test_refused_up_starts_no_supervisor(rig: Rig) -> None:
    rig.write("fleet: toy\nagents:\n  A: {run: speaker.py, ready: {probe: http}}\n")
    for words in (["up", "-d"], ["check"]):
        done = rig.argosy(*words)
        assert done.returncode == 2
        assert "`http`" in done.stderr
    assert rig.leftovers() == []


@pytest.mark.parametrize("after_s", [0.06, 0.1, 0.15, 0.2, 0.3, 0.4])
def test_early_ctrl_c_interrupts_up_and_leaves_no_process(rig: Rig, after_s: float) -> None:
    rig.write(CHAIN)
    up = rig.start("up")
    with pytest.raises(subprocess.TimeoutExpired):
        up.wait(after_s)
    out = interrupt_until_it_ends(up)
    # Before the interpreter has come to argosy's first line the signal is Python's own affair.
    assert up.returncode == 130 or b"argosy/cli" not in out, out
    rig.until(lambda: not rig.leftovers())


def interrupt_until_it_ends(process: subprocess.Popen[bytes]) -> bytes:
    """Press Ctrl-C as a person would, again when nothing happens; return what was printed."""
    for _ in range(8):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=3)[0]
        except subprocess.TimeoutExpired:
            continue  # it came where Python can only ignore it, such as in a callback of a weak reference
    raise AssertionError("it does not end")


def test_logs_accepts_options_between_fleet_and_agents(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d", "--only", "A")
    rig.until(lambda: "up A" in rig.argosy("logs", "./", "-n", "3", "A").stdout)


def test_start_timeout_reports_unmet_probe_condition(rig: Rig) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        rig.write(f"""
            fleet: toy
            defaults: {{start_timeout: 500ms}}
            agents:
              A: {{run: [sleep, "1000"], ready: {{probe: tcp, port: {port}}}}}
              B: {{run: [sleep, "1000"], ready: {{probe: tcp, port: 1}}}}
              C: {{run: [sleep, "1000"], ready: {{probe: notify}}}}
            """)
        reasons = rig.json("up", "-d", code=1)["not_ready"]
    assert f"port {port} held by pid {os.getpid()}" in reasons["A"]
    assert "port 1 was never opened" in reasons["B"]
    assert "READY=1 never came" in reasons["C"]
    assert "was not ready" in rig.agents()["B"]["reason"], "told also when the supervisor has ended"


def test_full_output_device_is_reported_without_traceback(rig: Rig) -> None:
    rig.write(CHAIN)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [ARGOSY, "status", "--json"], cwd=rig.folder, env=rig.env, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
