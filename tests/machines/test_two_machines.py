"""One fleet on two machines: started from one, seen from both, through network cuts, kills and restarts."""

from __future__ import annotations

import signal
import subprocess
import sys

from rig.duo import ARGOSY, Duo, until

# A chain that crosses the cable three times.
CHAIN = """
A: {machine: one}
B: {machine: two, needs: [A]}
C: {machine: one, needs: [B]}
D: {machine: two, needs: [C]}
"""
NAMES = ["A", "B", "C", "D"]
# Speaks ZeroMQ to the door of `one`, with no key or one of its own, until its input ends; says what it heard.
STRANGER = """
import sys, zmq
from argosy.engine.peering.peer_protocol import PEER_PROTOCOL, SubscribeAgents, encode_frame
socket = zmq.Context.instance().socket(zmq.DEALER)
socket.linger = 0
if sys.argv[1]:
    socket.curve_serverkey = sys.argv[1].encode()
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
socket.connect("tcp://192.168.100.16:9472")
socket.send(encode_frame(SubscribeAgents(protocol=PEER_PROTOCOL, fleet="duo", environment="development")))
sys.stdin.read()
print("answered" if socket.poll(0) else "silence", flush=True)
"""
# Says of `two` that it is gone, and waits until that was taken note of.
MARK_FAILED = """
import sys
from pathlib import Path
from argosy.engine.control.control_client import connect
from argosy.engine.state.state_dir import locate_state_dir
from argosy.engine.protocol.messages import MarkMachineFailed
with connect(locate_state_dir(Path(sys.argv[1])), "test") as client:
    client.send(MarkMachineFailed(machine="two", reason="its node has left"))
    client.fetch_status()
"""


def up(duo: Duo, *words: str, machine: str = "one", code: int = 0) -> dict[str, object]:
    return duo.json(machine, "up", "-d", "--no-hub", *words, code=code)


def test_fleet_on_two_machines_is_managed_as_one(duo: Duo) -> None:
    duo.write(CHAIN)
    duo.make_keys()
    duo.serve("two")

    account = up(duo)
    assert account["ready"] == NAMES
    assert account["declared"] == len(NAMES)
    assert [step["agent"] for step in account["critical_path"]] == NAMES  # type: ignore[attr-defined]
    for own, other in (("one", "two"), ("two", "one")):
        reported = duo.status(own)
        assert {name: each["state"] for name, each in reported["machines"].items()} == {
            own: "here",
            other: "linked",
        }
        assert {name: each["state"] for name, each in reported["agents"].items()} == dict.fromkeys(
            NAMES, "ready"
        )
    assert duo.agents("one", "pid", "machine") == duo.agents("two", "pid", "machine")

    lines = duo.argosy("one", "logs").stdout
    assert all(f"{name} | up {name}" in lines for name in NAMES)
    assert duo.argosy("one", "logs", "-n", "1", "B").stdout == "B | up B\n"
    assert list(duo.json("two", "timeline")["agents"]) == NAMES
    assert duo.json("two", "restart", "A", "B")["restarted"] == ["A", "B"]
    preview = duo.json("one", "restart", "A", "B", "--dry-run")
    assert (preview["restarted"], set(preview["outages"])) == (["A", "B"], {"A", "B"})
    assert set(duo.json("one", "restart", "--rolling", "--dry-run")["restarted"]) == set(NAMES)
    speaker = duo.root / "speaker.py"
    speaker.write_text(speaker.read_text() + "# newer\n")
    assert set(duo.json("one", "restart", "--changed", "--dry-run")["changed"]) == set(NAMES)
    assert list(duo.json("two", "restart", "--changed", "A", "--dry-run")["changed"]) == ["A"]
    drilled = duo.argosy("one", "drill", "--kill", "B", code=2)
    assert "`B` runs on machine `two`" in drilled.stderr

    assert sorted(duo.json("one", "down")["stopped"]) == NAMES
    assert duo.status("two")["machines"]["one"]["state"] == "blind"
    assert {each for (each,) in duo.agents("two", "state").values()} == {"exited"}


def test_machine_marked_failed_counts_only_while_unreachable(duo: Duo) -> None:
    def mark_failed() -> tuple[str, str]:
        subprocess.run(
            [sys.executable, "-c", MARK_FAILED, str(duo.fleet)], env=duo.env("one"), check=True, timeout=30
        )
        state, reason = duo.agents("one", "state", "reason")["B"]
        return state, reason

    duo.write("A: {machine: one}\nB: {machine: two}")
    duo.make_keys()
    duo.serve("two")
    up(duo)
    assert mark_failed()[0] == "ready"
    duo.kill_supervisor("two")  # its agents run on
    duo.until_seen("one", "two", "blind")
    assert duo.agents("one", "state")["B"] == ("ready",)
    state, reason = mark_failed()
    assert (state, "its node has left" in reason) == ("exited", True)
    duo.serve("two")
    duo.until_seen("one", "two", "linked")
    assert duo.agents("one", "state")["B"] == ("ready",)


def test_unreachable_machine_keeps_states_and_starts_nothing_twice(duo: Duo) -> None:
    duo.write(CHAIN)
    duo.make_keys()
    duo.serve("two")
    up(duo)
    running = duo.agents("one", "pid", "state")
    followed = duo.root / "followed"
    with open(followed, "wb") as out:
        follow = duo.machines["one"].popen(
            [ARGOSY, "logs", "-f", "--fleet", str(duo.fleet)], env=duo.env("one"), stdout=out, stderr=out
        )
    until(lambda: all(f"{name} | up {name}\n" in followed.read_text() for name in NAMES))

    duo.machines["two"].cut()
    for own, other in (("one", "two"), ("two", "one")):
        duo.until_seen(own, other, "blind")
    assert duo.agents("one", "pid", "state") == running == duo.agents("two", "pid", "state")
    reported = duo.argosy("one", "down", "--only", "B", code=1)
    assert "machine two" in reported.stdout

    duo.machines["two"].mend()
    for own, other in (("one", "two"), ("two", "one")):
        duo.until_seen(own, other, "linked")
    assert sorted(up(duo)["adopted"]) == NAMES  # type: ignore[call-overload]
    assert duo.agents("one", "pid", "state") == running

    duo.kill_supervisor("two")
    duo.until_seen("one", "two", "blind")
    duo.serve("two")
    duo.until_seen("one", "two", "linked")
    until(lambda: duo.agents("one", "pid", "state") == running)

    duo.kill_machine("two")
    duo.until_seen("one", "two", "blind")
    duo.serve("two")
    duo.until_seen("one", "two", "linked")  # until then it has the last states, which are ready
    until(lambda: set(duo.agents("one", "state").values()) == {("ready",)})
    until(lambda: all(followed.read_text().count(f"{name} | up {name}\n") == 2 for name in "BD"))
    assert all(followed.read_text().count(f"{name} | up {name}\n") == 1 for name in "AC")
    follow.send_signal(signal.SIGINT)
    assert follow.wait(30) == 0
    again = duo.agents("one", "pid", "state")
    assert [name for name in NAMES if again[name] == running[name]] == ["A", "C"]

    duo.kill_supervisor("two")
    duo.until_seen("one", "two", "blind")
    duo.argosy("one", "down", code=1)
    left = duo.agents("one", "pid", "state")  # no supervisor runs there now
    assert {name: left[name] for name in "BD"} == {name: again[name] for name in "BD"}
    assert {left[name] for name in "AC"} == {(None, "exited")}


def test_up_names_missing_machine_and_starts_other_agents(duo: Duo) -> None:
    duo.write(CHAIN + "E: {machine: one}\n")
    duo.make_keys()
    account = up(duo, "--timeout", "8", code=1)
    assert account["ready"] == ["A", "E"]
    reasons: dict[str, str] = account["not_ready"]  # type: ignore[assignment]
    assert set(reasons) == {"B", "C", "D"}
    assert all("`argosy serve --machine two`" in reasons[name] for name in "BD")
    assert "needs `B`: machine `two` has not been reachable" in reasons["C"]

    duo.serve("two")
    assert up(duo)["ready"] == [*NAMES, "E"]


def test_failed_need_is_reported_across_machines(duo: Duo) -> None:
    duo.write(
        """
        A0: {machine: one}
        A1: {machine: two, run: broken.py, restart: never}
        A2: {machine: one, needs: [A1]}
        A3: {machine: two, needs: [A2]}
        """
    )
    (duo.root / "broken.py").write_text("raise SystemExit(3)\n")
    duo.make_keys()
    duo.serve("two")
    for machine in ("one", "two"):
        account = up(duo, machine=machine, code=1)
        assert account["ready"] == ["A0"]
        reasons: dict[str, str] = account["not_ready"]  # type: ignore[assignment]
        assert list(reasons) == ["A1", "A2", "A3"]
        assert reasons["A1"].startswith("exited with code 3")
        assert reasons["A2"].startswith("blocked, needs `A1`: exited")
        assert reasons["A3"].startswith("blocked, needs `A2`, blocked by `A1`: exited")


def test_peering_rejects_and_logs_clients_without_valid_key(duo: Duo) -> None:
    duo.write(CHAIN)
    duo.make_keys()
    duo.serve("one")
    public = (duo.root / "one/keys/one.public").read_text().strip()
    for key, reason in (("", "it showed no key"), (public, "its key is not one of this fleet's")):
        stranger = duo.machines["two"].popen(
            [sys.executable, "-c", STRANGER, key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        until(lambda reason=reason: reason in (duo.root / "one/serve.log").read_text())
        assert stranger.communicate("", timeout=30)[0] == "silence\n"
    assert duo.status("one")["machines"]["two"]["state"] == "blind"


def test_serve_for_peers_requires_keys(duo: Duo) -> None:
    duo.write(CHAIN)
    refused = duo.argosy("two", "serve", "--machine", "two", code=1)
    assert "`argosy keys make`" in refused.stderr
    account = up(duo, code=1)
    assert set(account["left_out"]) == {"B", "D"}  # type: ignore[call-overload]
