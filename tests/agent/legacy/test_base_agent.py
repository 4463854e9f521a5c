"""Legacy agents, unchanged, on the BaseAgent of argosy: real processes, called as their old clients do."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from argosy.agent.compat import BaseAgent
from argosy.wire import WireError, connect
from launch import LittleFleet, Running, until

Start = Callable[..., Running]


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    """A folder whose files let the agents go on."""
    return tmp_path


@pytest.fixture
def start(fleet: LittleFleet, gates: Path) -> Start:
    def start_old(cls: str, *, ready: bool = True, **env: str) -> Running:
        port = two_free_ports()  # old agents bind `*`, which every other test's address is part of
        fleet.add(cls, port=port, health_port=port + 1)
        command = [sys.executable, "agent/legacy/legacy_agents.py", cls]
        return fleet.start(cls, command=command, ready=ready, GATES=str(gates), **env)

    return start_old


def two_free_ports() -> int:
    """Return a port that is free on all addresses, as is the next one."""
    while True:
        port = random.randrange(20000, 32000, 2)
        try:
            with socket.create_server(("", port)), socket.create_server(("", port + 1)):
                return port
        except OSError:
            continue


def send(url: str, text: bytes, timeout_ms: int = 5000) -> bytes:
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.rcvtimeo = timeout_ms
        req.connect(url)
        req.send(text)
        return req.recv()


def ask(url: str, document: object, timeout_ms: int = 5000) -> Any:
    return json.loads(send(url, json.dumps(document).encode(), timeout_ms))


def work_reply_or_none(url: str) -> Any:
    """Return an answer; None when nobody heard, as may be while a port changes hands."""
    try:
        return ask(url, {"action": "work"}, timeout_ms=1000)
    except zmq.Again:
        return None


def health(agent: Running) -> Any:
    return ask(agent.health_url, {"action": "health"})


def threads_of(agent: Running) -> int:
    return len(os.listdir(f"/proc/{agent.pid}/task"))


def test_legacy_agent_without_package_is_degraded_and_names_it(start: Start) -> None:
    lacking = start("Lacking")
    said = health(lacking)
    assert (said["status"], said["missing_packages"], said["models"]) == ("degraded", ["no_such_torch"], 0)
    assert said["reason"] == "without no_such_torch: what needs it fails"
    answer = ask(lacking.url, {"action": "make"})
    assert answer["status"] == "error"
    assert "`no_such_torch.zeros` is used here" in answer["error"]


# -- the whole of it ---------------------------------------------------------------------------------


def test_legacy_agent_may_terminate_pyzmq_context_instance(start: Start) -> None:
    agent = start("TakesTheInstance")
    assert ask(agent.url, {"action": "work"}) == {"heard": "still there"}
    names = [task.joinpath("comm").read_text() for task in Path(f"/proc/{agent.pid}/task").iterdir()]
    assert sum(name.startswith("ZMQbg/Reaper") for name in names) == 1


def test_legacy_agent_answers_reports_health_and_stops_in_order(start: Start) -> None:
    plain = start("Plain")
    answer = ask(plain.url, {"command": "go", "deep": {"er": [1]}})
    assert answer == {"command": "go", "deep": {"er": [1]}, "in": "MainThread", "count": 1}
    said = health(plain)
    assert said["status"] == "ok"
    assert said["status_word"] == "HEALTHY"
    assert (said["name"], said["pid"], said["count"]) == ("Plain", plain.pid, 1)
    assert {
        "ready",
        "initialized",
        "message",
        "timestamp",
        "active_threads",
        "uptime",
        "since",
    } <= said.keys()
    assert (said["where"], said["parts"]) == ("/here", [1, 2])
    plain.process.send_signal(signal.SIGTERM)
    plain.told("STOPPING=1")
    out, err = plain.process.communicate(timeout=20)  # no second signal: it may be in its last instructions
    assert (plain.code, out, err) == (0, "cleanup\n", "")


def test_legacy_agent_has_four_threads(start: Start) -> None:
    plain = start("Plain")
    ask(plain.url, {"action": "x"})
    health(plain)
    until(lambda: threads_of(plain) == 4)  # main, responder, ZeroMQ's I/O thread and its reaper


def test_declared_ports_override_constructor_ports(start: Start) -> None:
    plain = start("Plain")
    said = ask(plain.url, {"action": "attributes"})
    port = int(plain.url.rpartition(":")[2])
    assert said == {
        "name": "PlainOld",
        "port": port,
        "health_check_port": port + 1,
        "running": True,
        "config": {},
    }


@pytest.mark.parametrize("action", ["health", "health_check", "ping", "status"])
def test_health_is_answered_on_both_ports_for_every_action_name(start: Start, action: str) -> None:
    plain = start("Plain")
    for url in (plain.url, plain.health_url):
        assert ask(url, {"action": action, "request_id": "1"})["status"] == "ok"
    assert send(plain.health_url, b"are you there?").startswith(b"{")


def test_health_action_with_extra_fields_reaches_handler(start: Start) -> None:
    plain = start("Plain")
    assert ask(plain.url, {"action": "status", "task": 7})["task"] == 7


def test_handler_errors_are_sent_as_error_replies(start: Start) -> None:
    plain = start("Plain")
    assert ask(plain.url, {"action": "fail"}) == {"status": "error", "error": "no such voice"}
    assert ask(plain.url, {"command": "bare"}) == {"result": 7}
    assert json.loads(send(plain.url, b"\xff{")) == {"status": "error", "error": "the request is not JSON"}
    assert health(plain)["status"] == "ok"
    _, err = plain.end()
    assert "ValueError: no such voice" in err


def test_argosy_clients_call_legacy_agent(start: Start) -> None:
    plain = start("Plain")
    with connect("Plain") as peer:
        assert peer.call("hello", to=["a"]) == {
            "to": ["a"],
            "action": "hello",
            "in": "MainThread",
            "count": 1,
        }
        assert peer.call("health")["pid"] == plain.pid


def test_health_uses_health_check_method_as_payload(start: Start) -> None:
    said = health(start("OnlyHealthCheck"))
    assert (said["status"], said["status_word"], said["queue"]) == ("degraded", "warning", 3)


def test_thread_started_before_base_constructor_runs(start: Start) -> None:
    assert health(start("BeginsTooEarly"))["first"] is True


# -- where the main thread is -------------------------------------------------------------------------


def test_legacy_agent_is_ready_after_outermost_constructor_returns(start: Start, gates: Path) -> None:
    slow = start("SlowConstructor", ready=False)
    slow.told("X_ARGOSY_HEALTH=starting")
    said = health(slow)
    assert (said["status"], said["reason"]) == ("starting", "its constructor has not returned")
    assert "model" not in said
    (gates / "constructor").touch()
    slow.told("READY=1")
    assert health(slow)["model"] == "loaded"


def test_constructor_error_is_reported_in_stopping_status(start: Start) -> None:
    broken = start("BreaksInConstructor", ready=False)
    _, err = broken.process.communicate(timeout=20)
    assert broken.code == 1
    assert err.rstrip().endswith("RuntimeError: no card")
    words = [broken.told("STOPPING=1")["STATUS"]]
    assert words == ["its constructor raised RuntimeError: no card"]


def test_run_inside_constructor_serves_but_never_becomes_ready(start: Start) -> None:
    agent = start("LoopsInConstructor", ready=False)
    agent.told("X_ARGOSY_HEALTH=starting")
    assert ask(agent.url, {"action": "x"}) == {"status": "error", "error": "Unknown action: x"}
    assert health(agent)["status"] == "starting"
    agent.end()
    assert agent.code == 0


def test_initialization_runs_once_in_thread_before_run(start: Start, gates: Path) -> None:
    agent = start("Initializes", ready=False)
    agent.told("X_ARGOSY_HEALTH=starting")
    until(lambda: health(agent)["reason"] == "`_perform_initialization` has not returned")
    (gates / "initialization").touch()
    agent.told("READY=1")
    assert ask(agent.url, {"action": "x"})["status"] == "error"  # it is in its loop
    out, err = agent.end()
    assert (out, err) == ("initialised there\nrun\n", "")


def test_early_initialization_waits_for_constructor_fields(start: Start) -> None:
    said = health(start("InitializesTooEarly"))
    assert (said["status"], said["found"], said["is_late"]) == ("ok", "there", False)


@pytest.mark.soak
def test_constructor_can_wait_for_its_initialization(start: Start) -> None:
    agent = start("WaitsForInitialization", ready=False)
    agent.told("READY=1")
    said = health(agent)
    assert (said["found"], said["is_late"]) == ("nothing", True)


def test_failed_initialization_reports_degraded_with_reason(start: Start) -> None:
    agent = start("FailsToInitialize")
    said = health(agent)
    assert (said["status"], said["reason"]) == ("degraded", "its initialisation failed: no model file")


def test_overridden_run_makes_agent_ready_on_entry(start: Start, gates: Path) -> None:
    agent = start("OwnLoop")
    assert health(agent)["status"] == "ok"
    answer = ask(agent.url, {"action": "work"}, 8000)
    assert answer == {"status": "error", "error": "its `run` takes no requests from its base"}
    agent.end()
    assert agent.code == 0


def test_run_error_ends_agent_with_exit_code_one(start: Start, gates: Path) -> None:
    agent = start("BreaksInLoop")
    (gates / "break").touch()
    assert agent.told("STOPPING=1")["STATUS"] == "`run` raised ValueError: lost"
    agent.process.wait(20)
    assert agent.code == 1


def test_health_of_agent_hanging_after_run_has_no_payload(start: Start, gates: Path) -> None:
    agent = start("Hangs")
    assert health(agent)["payload"] == "of a hanging agent"
    assert ask(agent.url, {"action": "health"})["status"] == "ok"
    (gates / "leave").touch()
    agent.told("STOPPING=1")
    said = health(agent)
    assert (said["status"], "payload" in said) == ("stopping", False)
    assert ask(agent.url, {"action": "work"}) == {"status": "error", "error": "it is stopping"}
    with connect("Hangs") as peer, pytest.raises(WireError):
        peer.call("work", timeout=0.3)
    (gates / "never").touch()
    agent.process.wait(20)


def test_program_without_run_becomes_ready(fleet: LittleFleet) -> None:
    agent = fleet.start("Starts", command=[sys.executable, "agent/legacy/no_work_loop.py"])
    assert health(agent)["status"] == "ok"


def test_main_block_with_own_loop_becomes_ready_without_run(fleet: LittleFleet) -> None:
    agent = fleet.start("Waits", command=[sys.executable, "agent/legacy/two_main_blocks.py"])
    assert health(agent)["status"] == "ok"


def test_second_agent_does_not_start_in_terminated_process(fleet: LittleFleet) -> None:
    port = two_free_ports()
    fleet.add("Twice", port=port, health_port=port + 1)
    agent = fleet.start("Twice", command=[sys.executable, "agent/legacy/run_twice.py"])
    ask(agent.url, {"action": "work"})  # it is in its loop
    said, _ = agent.end()
    assert said == "the first run has ended\n"
    assert agent.process.returncode == 0


def test_watchdog_heartbeats_come_from_work_loop(start: Start, gates: Path) -> None:
    plain = start("Plain", WATCHDOG_USEC="300000")
    assert plain.told("WATCHDOG=1")["READY"] == "1"
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.connect(plain.url)
        req.send_json({"action": "hold"})
        until(lambda: health(plain)["loop_lag_ms"] > 0)
        drain(plain)
        quiet = [words(plain) for _ in range(4)]
        assert all("READY=1" in said for said in quiet)
        assert not any("WATCHDOG=1" in said for said in quiet)
        (gates / "held").touch()
        assert req.recv_json()["action"] == "hold"
    plain.told("WATCHDOG=1")


def words(agent: Running) -> list[str]:
    agent.notify.settimeout(20)
    return agent.notify.recv(65536).decode().splitlines()


def drain(agent: Running) -> None:
    agent.notify.settimeout(0.01)
    try:
        while True:
            agent.notify.recv(65536)
    except TimeoutError:
        return


# -- payloads ------------------------------------------------------------------------------------------


def test_slow_health_payload_does_not_delay_health_reply(start: Start, gates: Path) -> None:
    agent = start("SlowPayload")
    began = time.monotonic()
    said = health(agent)
    assert time.monotonic() - began < 1.0
    assert (said["status"], "sampled" in said) == ("ok", False)
    (gates / "payload").touch()
    until(lambda: health(agent).get("sampled"))
    assert health(agent)["payload_age"] >= 0


def test_health_payload_error_reports_failing_until_it_recovers(start: Start, gates: Path) -> None:
    agent = start("BreaksInPayload")
    said = health(agent)
    assert (said["status"], said["reason"]) == ("failing", "its health payload raised KeyError: 'gpu'")
    agent.told("X_ARGOSY_HEALTH=failing")
    (gates / "mended").touch()
    until(lambda: health(agent)["status"] == "ok")
    assert health(agent)["gpu"] == 1


def test_health_loop_without_responder_runs(start: Start) -> None:
    agent = start("WorkingHealthLoop")
    until(lambda: ask(agent.url, {"action": "count"})["checks"] > 2)
    assert health(agent)["status"] == "ok"


def test_copied_health_loop_answers_no_request(start: Start) -> None:
    agent = start("RespondingHealthLoop")
    for _ in range(3):
        assert "from" not in health(agent)


# -- ports -----------------------------------------------------------------------------------------------


def test_agent_may_bind_its_main_port_itself(start: Start) -> None:
    agent = start("BindsMain")
    assert ask(agent.url, {"action": "x"}) == {"from": "the agent"}
    assert health(agent)["status"] == "ok"
    _, err = agent.end()
    assert err == ""


def test_base_releases_bound_main_port_and_refuses_pending_request(start: Start, gates: Path) -> None:
    """A request that the base had taken, and its agent will not see, is refused and not lost."""
    agent = start("BindsMainLate")
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.rcvtimeo = 5000
        req.connect(agent.url)
        req.send_json({"action": "work"})
        until(lambda: health(agent)["in_flight"] == 1)
        (gates / "bind").touch()
        assert req.recv_json() == {"status": "error", "error": "the agent is taking its port itself"}
    until(lambda: work_reply_or_none(agent.url) == {"from": "the agent"})
    assert health(agent)["status"] == "ok"


def test_agent_may_bind_its_health_port_itself(start: Start) -> None:
    agent = start("BindsHealth")
    assert ask(agent.health_url, {}) == {"status": "ok", "from": "the agent"}
    assert ask(agent.url, {"action": "health"})["name"] == "BindsHealth"


def test_base_releases_main_port_to_plain_tcp_server(start: Start) -> None:
    agent = start("ServesHttp")
    url = agent.url.replace("tcp:", "http:")
    until(lambda: is_empty_page(url))


def is_empty_page(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return bool(page.status == 204)
    except (OSError, http.client.HTTPException):
        return False


def test_base_binds_port_again_after_agent_probed_it(start: Start) -> None:
    agent = start("TriesPort")
    assert health(agent)["name"] == "TriesPort"


def test_agent_may_serve_requests_on_socket_of_base(start: Start) -> None:
    agent = start("OnSocket")
    assert send(agent.url, b"words") == b"raw words"
    assert health(agent)["status"] == "ok"
    agent.end()
    assert agent.code == 0


def test_base_does_not_read_socket_that_agent_thread_reads(start: Start) -> None:
    """Two threads on one socket ended the process, now and then, in libzmq."""
    agent = start("ReadsItself")
    answers = {ask(agent.url, {"number": number})["by"] for number in range(300)}
    assert answers == {"its thread"}
    assert health(agent)["status"] == "ok"


def test_agent_may_bind_socket_of_base_to_same_port_again(start: Start) -> None:
    agent = start("BindsTheBasesSocket")
    assert send(agent.url, b"words") == b"raw words"


def test_bind_on_port_of_other_agent_is_moved_and_reported(start: Start, fleet: LittleFleet) -> None:
    port = two_free_ports()
    neighbour = fleet.add("Neighbour", port=port, health_port=port + 1)
    agent = start("BindsNeighbour", NEIGHBOUR=str(neighbour.port))
    moved = health(agent)["moved_binds"]
    assert set(moved) == {str(neighbour.port), str(neighbour.health_port)}
    assert ask(agent.url, {"action": "x"}) == {"from": "the agent"}  # its request socket came home
    with socket.create_server((neighbour.bind, neighbour.port)):
        pass
    _, err = agent.end()
    assert f"a bind on port {neighbour.port} went to " in err


def test_nested_agents_bind_no_ports(start: Start) -> None:
    agent = start("Nests")
    assert ask(agent.url, {"action": "x"}) == {"from": "the agent"}
    assert health(agent)["name"] == "Nests"
    assert health(agent)["other_agents"] == ["Helper"]
    assert listening(agent) == 2


def listening(agent: Running) -> int:
    """Count the TCP ports on which a process listens."""
    inodes = set()
    for fd in os.listdir(f"/proc/{agent.pid}/fd"):
        inodes.add(os.readlink(f"/proc/{agent.pid}/fd/{fd}").removeprefix("socket:[").rstrip("]"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "0A" and row[9] in inodes for row in rows)


# -- constructors and peers ------------------------------------------------------------------------------


def test_agent_works_without_base_constructor_call(start: Start) -> None:
    agent = start("NeverCallsBase")
    assert ask(agent.url, {"action": "x"}) == {"special": 1, "name": "Proud", "running": True}


def test_legacy_agent_calls_and_resolves_other_agents(start: Start, fleet: LittleFleet) -> None:
    plain = start("Plain")
    asking = start("Asks")
    said = ask(asking.url, {"action": "go"})
    assert said["answer"]["source_agent"] == "Asks"
    assert f"tcp://{':'.join(map(str, said['endpoint']))}" == plain.url


def test_legacy_health_reports_connection_state_of_needs(start: Start, fleet: LittleFleet) -> None:
    plain = start("Plain")
    asking = start("Asks")
    port = int(asking.url.rpartition(":")[2])
    fleet.add("Asks", port=port, health_port=port + 1, needs=("Plain", "Nobody"))
    assert ask(asking.url, {"action": "health"})["needs"] == {"Plain": "unknown", "Nobody": "unknown"}
    ask(asking.url, {"action": "go"})
    assert ask(asking.url, {"action": "health"})["needs"] == {"Plain": "ok", "Nobody": "unknown"}
    plain.end(signal.SIGKILL)
    ask(asking.url, {"action": "go"}, timeout_ms=20_000)
    document = ask(asking.url, {"action": "health"})
    assert document["needs"]["Plain"] == "lost"
    assert document["status"] == "ok"


def test_legacy_errors_and_events_reach_subscribers(start: Start, fleet: LittleFleet) -> None:
    plain = start("Plain")
    recorder = fleet.start("RecordsLegacyEvents", command=[sys.executable, "agent/legacy/event_recorder.py"])
    with connect("RecordsLegacyEvents") as peer:
        until(lambda: ask(plain.url, {"action": "report"}) and peer.recorded())
        errors, events = peer.recorded()[:2]
    assert errors["error_type"] == "voice"
    assert (errors["agent"], errors["severity"]) == ("PlainOld", "warning")
    assert events == {"to": "low"}
    assert recorder.process.poll() is None


def test_legacy_events_are_published_over_tcp(start: Start, fleet: LittleFleet) -> None:
    fleet.add("Ear", machine="there")
    plain = start("Plain")
    with connect(plain.url) as peer:
        port = peer.call("argosy.topics")
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.linger = 0
        sub.subscribe(b"errors\0")
        sub.connect(f"{plain.url.rpartition(':')[0]}:{port}")
        until(lambda: ask(plain.url, {"action": "report"}) and sub.poll(0))
        assert sub.recv_multipart()[0] == b"errors\0"


CONSTRUCTIONS = [
    ("BaseAgent('Voice', 5001)", ("Voice", 5001, 5002)),
    ("BaseAgent(5001, 'Voice')", ("Voice", 5001, 5002)),
    ("BaseAgent(5001, 5009, name='Voice')", ("Voice", 5001, 5009)),
    ("BaseAgent(port='5001', name='Voice', health_check_port='5009')", ("Voice", 5001, 5009)),
    ("BaseAgent({'health_check_port': 5009}, 'Voice', port=5001)", ("Voice", 5001, 5009)),
    ("BaseAgent(name='Voice', port=5001, strict_port=False, voice='en', x=None)", ("Voice", 5001, 5002)),
    ("BaseAgent(name='Voice', port=5001, config=object())", ("Voice", 5001, 5002)),
]


@pytest.mark.parametrize(("call", "expected"), CONSTRUCTIONS)
def test_constructor_accepts_arguments_in_any_order(call: str, expected: tuple[str, int, int]) -> None:
    from argosy.agent.legacy.constructor_args import parse_constructor_arguments  # noqa: PLC0415

    name, port, health_port = expected
    given = eval(
        call, {"BaseAgent": lambda *args, **keywords: parse_constructor_arguments("Class", args, keywords)}
    )
    assert (given.name, given.port) == (name, port)
    assert given.health_port in (health_port, None)


def test_base_agent_has_legacy_attributes_and_methods() -> None:
    names = (
        "name port health_port health_check_port running start_time context socket health_socket logger "
        "config is_initialized initialization_error capabilities strict_port args"
    )
    code = (
        "from argosy.agent.compat import BaseAgent\n"
        "a = BaseAgent(name='A', junk=1)\n"
        f"for n in '{names}'.split():\n"
        "    getattr(a, n)\n"
        "assert a.is_initialized.is_set() and isinstance(a.port, int)\n"
        "assert a.get_agent_endpoint.__doc__ and a._safe_int('x', 3) == 3\n"
        "try: a.send_request_to_agent('B', {})\n"
        "except RuntimeError as e: print(e)\n"
        "a.report_error('x', 'y'); a.send_event('z', {}); a.stop(); a.shutdown(); a.cleanup()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout.startswith("could not locate agent `B`")) == (0, True), done.stderr


def test_compat_import_has_no_side_effects() -> None:
    code = (
        "import zmq, sys, threading; bind = zmq.Socket.bind\n"
        "import argosy.agent.compat\n"
        "print(zmq.Socket.bind is bind, threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True 1\n"
    assert BaseAgent.__module__ == "argosy.agent.legacy.base_agent"
