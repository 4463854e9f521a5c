"""One agent's process, from its start to its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from argosy.wire import NotSent, connect
from launch import LittleFleet, until


def ask(url: str, document: object, timeout_ms: int = 5000) -> dict[str, object]:
    """One JSON question over a plain REQ, as a program that knows nothing of argosy asks it."""
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.rcvtimeo = timeout_ms
        req.connect(url)
        req.send_json(document)
        answer = req.recv_json()
    assert isinstance(answer, dict)
    return answer


def test_it_is_ready_and_ends_in_order(fleet: LittleFleet) -> None:
    orderly = fleet.start("LifecyclePrinter", ready=False)
    assert orderly.told("X_ARGOSY_HEALTH=starting")
    assert orderly.told("READY=1")["X_ARGOSY_HEALTH"] == "ok"
    orderly.process.send_signal(signal.SIGTERM)
    assert orderly.told("STOPPING=1")["X_ARGOSY_HEALTH"] == "stopping"
    out, err = orderly.process.communicate(timeout=20)  # no second signal: it may be in its last instructions
    assert (orderly.code, out.split(), err) == (0, ["start", "stop"], "")


def test_interrupt_ends_it_like_terminate(fleet: LittleFleet) -> None:
    orderly = fleet.start("LifecyclePrinter")
    orderly.end(signal.SIGINT)
    assert orderly.code == 0


def test_what_runs_is_finished_before_the_agent_stops(fleet: LittleFleet) -> None:
    orderly = fleet.start("LifecyclePrinter")
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.rcvtimeo = 5000
        req.connect(orderly.url)
        req.send_json({"action": "work", "seconds": 0.3})
        until(lambda: ask(orderly.health_url, {"action": "health"})["in_flight"] == 1)
        orderly.process.send_signal(signal.SIGTERM)
        assert req.recv_json() == {"result": "worked"}
    out, _ = orderly.end()
    assert out.split() == ["start", "worked", "stop"]


def test_a_thread_that_never_ends_does_not_hold_the_process(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with pytest.raises(TimeoutError):
        connect("Echo").call("block", seconds=60, timeout=0.2)
    echo.end()
    assert echo.code == 0


@pytest.mark.parametrize(
    ("cls", "what"),
    [("FailsToStart", "RuntimeError: the model is missing"), ("FailsToBeMade", "RuntimeError: no card")],
)
def test_a_failing_start_is_told_with_its_traceback(fleet: LittleFleet, cls: str, what: str) -> None:
    failing = fleet.start(cls, ready=False)
    _, err = failing.process.communicate(timeout=20)
    assert failing.code == 1
    assert err.startswith(f"error: `{cls}` could not be")
    assert "Traceback" in err
    assert err.rstrip().endswith(what)


def test_a_held_port_is_named(fleet: LittleFleet) -> None:
    entry = fleet.add("Echo")
    with socket.create_server((entry.bind, entry.port or 0)):
        echo = fleet.start("Echo", ready=False)
        _, err = echo.process.communicate(timeout=20)
    assert echo.code == 1
    assert f"`Echo` cannot bind port {entry.port} on `{entry.bind}`: address already in use" in err
    assert "Traceback" not in err
    assert "hint: " in err


def test_a_start_can_be_interrupted(fleet: LittleFleet, tmp_path: Path) -> None:
    slow = fleet.start("Slow", "--gate", str(tmp_path / "never"), ready=False)
    slow.told("X_ARGOSY_HEALTH=starting")
    slow.end()
    assert slow.code == 0


def test_while_starting_it_answers_health_and_lets_callers_wait(fleet: LittleFleet, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    slow = fleet.start("Slow", "--gate", str(gate), ready=False)
    slow.told("X_ARGOSY_HEALTH=starting")
    assert ask(slow.url, {"action": "ping"})["status"] == "starting"
    answer = ask(slow.url, {"action": "hello"})
    assert answer == {"error": {"code": "starting", "message": "it is starting"}}
    with connect("Slow") as peer:
        with pytest.raises(NotSent, match="still starting"):
            peer.call("hello", timeout=0.3)
        gate.touch()
        assert peer.call("hello") == "hello"


def test_options_come_typed_from_the_command_line(fleet: LittleFleet) -> None:
    fleet.start("Echo", "--greeting=hi", "--sizes", "1,2", "--sizes", "3")
    with connect("Echo") as peer:
        assert peer.greet() == "hi [1, 2, 3]"


def test_a_wrong_option_ends_with_two_and_its_name(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo", "--greting", "hi", ready=False)
    _, err = echo.process.communicate(timeout=20)
    assert echo.code == 2
    assert "`--greting`" in err
    assert "`--greeting`" in err


@pytest.mark.parametrize("target", ["", "nothing", "sample_agents:Nobody", "sample_agents:Utterance"])
def test_a_target_that_is_no_agent_ends_with_two(fleet: LittleFleet, target: str) -> None:
    command = [sys.executable, "-m", "argosy.agent", *([target] if target else [])]
    running = fleet.start("Echo", command=command, ready=False)
    _, err = running.process.communicate(timeout=20)
    assert running.code == 2
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_a_plain_script_runs_without_a_fleet(fleet: LittleFleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        entry = fleet.add("Echo", port=free.getsockname()[1])
    script = fleet.start(
        "Echo",
        command=[sys.executable, "sample_agents.py", "--port", str(entry.port)],
        ARGOSY_BOOK="",
        ARGOSY_AGENT="",
    )
    answer = ask(f"tcp://127.0.0.1:{entry.port}", {"action": "echo", "text": "alone"})
    assert answer == {"result": "alone"}
    script.end()
    assert script.code == 0


def test_it_has_few_threads(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        peer.echo(text="x")
    assert len(os.listdir(f"/proc/{echo.pid}/task")) == 3  # the loop, one I/O thread, the reaper


def test_health_has_the_standard_keys_on_both_ports(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    for url in (echo.url, echo.health_url):
        for action in ("health", "health_check", "ping", "status"):
            answer = ask(url, {"action": action})
            assert answer["status"] == "ok"
            assert answer["name"] == "Echo"
            assert answer["pid"] == echo.pid
            assert isinstance(answer["uptime"], float)
            assert isinstance(answer["since"], float)
    assert answer["handled"] == 7
    assert answer["in_flight"] == 0
    assert answer["failed"] == 0
    assert isinstance(answer["rss_bytes"], int)
    assert answer["rss_bytes"] > 1_000_000
    assert isinstance(answer["loop_lag_ms"], float)


def test_a_change_of_health_is_told_at_once(fleet: LittleFleet) -> None:
    moody = fleet.start("HealthAgent", WATCHDOG_USEC="3600000000")  # beats never come by themselves
    with connect("HealthAgent") as peer:
        peer.feel(status="degraded", reason="the model is slow")
        said = moody.told("X_ARGOSY_HEALTH=degraded")
        assert said["READY"] == "1"
        assert said["STATUS"] == "the model is slow"
        answer = ask(moody.url, {"action": "health"})
        assert answer["status"] == "degraded"
        assert answer["reason"] == "the model is slow"
        assert answer["mood"] == "degraded"
        peer.feel(status="ERROR")
        moody.told("X_ARGOSY_HEALTH=failing")
        assert ask(moody.url, {"action": "health"})["status_word"] == "ERROR"
        peer.feel_in_thread(status="ok")
        moody.told("X_ARGOSY_HEALTH=ok")


def test_a_health_that_raises_is_failing(fleet: LittleFleet) -> None:
    ill = fleet.start("Ill")
    answer = ask(ill.url, {"action": "health"})
    assert answer["status"] == "failing"
    assert answer["reason"] == "health() failed: OSError: no sensor"


def test_readiness_and_watchdog_are_repeated(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo", WATCHDOG_USEC="100000")
    for _ in range(3):
        said = echo.told("READY=1")
        assert said["WATCHDOG"] == "1"


def test_intervals_run_and_survive_an_error(fleet: LittleFleet) -> None:
    moody = fleet.start("HealthAgent")
    with connect("HealthAgent") as peer:
        until(lambda: peer.ticked() > 4)
    _, err = moody.end()
    assert "ValueError: a tick may fail" in err


def test_settings_that_are_no_numbers_are_named(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo", ready=False, WATCHDOG_USEC="soon")
    _, err = echo.process.communicate(timeout=20)
    assert echo.code == 2
    assert "`WATCHDOG_USEC` is `soon`" in err


def test_an_agent_that_the_book_does_not_know(fleet: LittleFleet) -> None:
    fleet.add("Echo")
    echo = fleet.start("Echo", ready=False, ARGOSY_AGENT="Ecko")
    _, err = echo.process.communicate(timeout=20)
    assert echo.code == 2
    assert "did you mean `Echo`?" in err


def test_the_import_is_light() -> None:
    """`import argosy.agent` may pull in msgspec, pyzmq and the standard library, nothing else."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import argosy.agent.runner, argosy.agent.handlers, argosy.wire.pubsub.topic\n"
        "roots = {m.partition('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "print(*sorted(r for r in roots if 'cython' not in r))\n"
        "print(*sorted({'zmq.asyncio', 'pathlib', 'argparse', 'multiprocessing',"
        " 'argosy.wire.security.zap', 'argosy.wire.pubsub.remote_subscription',"
        " 'argosy.wire.security.key_management'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    roots, unwanted = out.split("\n")[:2]
    assert set(roots.split()) <= {"argosy", "msgspec", "zmq", "typing_extensions"}
    assert unwanted == ""
