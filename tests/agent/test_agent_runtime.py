"""Agent runtime: the process of one agent, from its start to its exit."""

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


def test_agent_notifies_ready_and_stopping_in_order(fleet: LittleFleet) -> None:
    orderly = fleet.start("LifecyclePrinter", ready=False)
    assert orderly.told("X_ARGOSY_HEALTH=starting")
    assert orderly.told("READY=1")["X_ARGOSY_HEALTH"] == "ok"
    orderly.process.send_signal(signal.SIGTERM)
    assert orderly.told("STOPPING=1")["X_ARGOSY_HEALTH"] == "stopping"
    out, err = orderly.process.communicate(timeout=20)  # no second signal: it may be in its last instructions
    assert (orderly.code, out.split(), err) == (0, ["start", "stop"], "")


def test_sigint_stops_agent_like_sigterm(fleet: LittleFleet) -> None:
    orderly = fleet.start("LifecyclePrinter")
    orderly.end(signal.SIGINT)
    assert orderly.code == 0


def test_agent_finishes_running_request_before_stop(fleet: LittleFleet) -> None:
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


def test_blocked_handler_thread_does_not_delay_exit(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with pytest.raises(TimeoutError):
        connect("Echo").call("block", seconds=60, timeout=0.2)
    echo.end()
    assert echo.code == 0


@pytest.mark.parametrize(
    ("cls", "expected_error"),
    [("FailsToStart", "RuntimeError: the model is missing"), ("FailsToBeMade", "RuntimeError: no card")],
)
def test_failed_start_prints_traceback_and_exits_one(
    fleet: LittleFleet, cls: str, expected_error: str
) -> None:
    failing = fleet.start(cls, ready=False)
    _, err = failing.process.communicate(timeout=20)
    assert failing.code == 1
    assert err.startswith(f"error: `{cls}` could not be")
    assert "Traceback" in err
    assert err.rstrip().endswith(expected_error)


def test_port_in_use_is_named_in_error(fleet: LittleFleet) -> None:
    entry = fleet.add("Echo")
    with socket.create_server((entry.bind, entry.port or 0)):
        echo = fleet.start("Echo", ready=False)
        _, err = echo.process.communicate(timeout=20)
    assert echo.code == 1
    assert f"`Echo` cannot bind port {entry.port} on `{entry.bind}`: address already in use" in err
    assert "Traceback" not in err
    assert "hint: " in err


def test_sigterm_interrupts_start(fleet: LittleFleet, tmp_path: Path) -> None:
    slow = fleet.start("Slow", "--gate", str(tmp_path / "never"), ready=False)
    slow.told("X_ARGOSY_HEALTH=starting")
    slow.end()
    assert slow.code == 0


def test_starting_agent_answers_health_and_defers_calls(fleet: LittleFleet, tmp_path: Path) -> None:
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


def test_agent_gets_typed_options_from_command_line(fleet: LittleFleet) -> None:
    fleet.start("Echo", "--greeting=hi", "--sizes", "1,2", "--sizes", "3")
    with connect("Echo") as peer:
        assert peer.greet() == "hi [1, 2, 3]"


def test_unknown_option_exits_two_and_suggests_name(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo", "--greting", "hi", ready=False)
    _, err = echo.process.communicate(timeout=20)
    assert echo.code == 2
    assert "`--greting`" in err
    assert "`--greeting`" in err


@pytest.mark.parametrize("target", ["", "nothing", "sample_agents:Nobody", "sample_agents:Utterance"])
def test_invalid_target_exits_two(fleet: LittleFleet, target: str) -> None:
    command = [sys.executable, "-m", "argosy.agent", *([target] if target else [])]
    running = fleet.start("Echo", command=command, ready=False)
    _, err = running.process.communicate(timeout=20)
    assert running.code == 2
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_agent_script_runs_without_fleet(fleet: LittleFleet) -> None:
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


def test_agent_has_three_threads(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        peer.echo(text="x")
    assert len(os.listdir(f"/proc/{echo.pid}/task")) == 3  # the loop, one I/O thread, the reaper


def test_health_reply_has_standard_keys_on_both_ports(fleet: LittleFleet) -> None:
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


def test_health_change_is_notified_immediately(fleet: LittleFleet) -> None:
    moody = fleet.start("HealthAgent", WATCHDOG_USEC="3600000000")  # beats never come by themselves
    with connect("HealthAgent") as peer:
        peer.feel(status="degraded", reason="the model is slow")
        fields = moody.told("X_ARGOSY_HEALTH=degraded")
        assert fields["READY"] == "1"
        assert fields["STATUS"] == "the model is slow"
        answer = ask(moody.url, {"action": "health"})
        assert answer["status"] == "degraded"
        assert answer["reason"] == "the model is slow"
        assert answer["mood"] == "degraded"
        peer.feel(status="ERROR")
        moody.told("X_ARGOSY_HEALTH=failing")
        assert ask(moody.url, {"action": "health"})["status_word"] == "ERROR"
        peer.feel_in_thread(status="ok")
        moody.told("X_ARGOSY_HEALTH=ok")


def test_error_in_health_method_reports_failing(fleet: LittleFleet) -> None:
    ill = fleet.start("Ill")
    answer = ask(ill.url, {"action": "health"})
    assert answer["status"] == "failing"
    assert answer["reason"] == "health() failed: OSError: no sensor"


def test_agent_repeats_ready_and_watchdog_notifications(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo", WATCHDOG_USEC="100000")
    for _ in range(3):
        fields = echo.told("READY=1")
        assert fields["WATCHDOG"] == "1"


def test_interval_handler_runs_again_after_error(fleet: LittleFleet) -> None:
    moody = fleet.start("HealthAgent")
    with connect("HealthAgent") as peer:
        until(lambda: peer.ticked() > 4)
    _, err = moody.end()
    assert "ValueError: a tick may fail" in err


def test_invalid_watchdog_usec_exits_two_and_is_named(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo", ready=False, WATCHDOG_USEC="soon")
    _, err = echo.process.communicate(timeout=20)
    assert echo.code == 2
    assert "`WATCHDOG_USEC` is `soon`" in err


def test_agent_missing_from_address_book_exits_with_suggestion(fleet: LittleFleet) -> None:
    fleet.add("Echo")
    echo = fleet.start("Echo", ready=False, ARGOSY_AGENT="Ecko")
    _, err = echo.process.communicate(timeout=20)
    assert echo.code == 2
    assert "did you mean `Echo`?" in err


def test_agent_import_loads_only_msgspec_and_zmq() -> None:
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
