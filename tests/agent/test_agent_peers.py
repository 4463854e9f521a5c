"""Peers: agents that call each other, with traces, health states and errors."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from argosy.agent import trace
from argosy.fault import InputError
from argosy.wire import NotSent, RemoteError, WireError, connect
from argosy.wire.address_book import AddressResolver
from argosy.wire.client.sync_peer import named_peer
from argosy.wire.trace import begin_trace
from launch import LittleFleet, until


def start(fleet: LittleFleet) -> None:
    for name in ("Front", "Back"):
        fleet.add(name)
    fleet.start("Front")


def test_trace_propagates_through_requests_and_events(fleet: LittleFleet) -> None:
    start(fleet)
    fleet.start("Back")
    begin_trace()
    with connect("Front") as front:
        answer = front.ask(text="hi")
        assert answer == {"text": "HI", "trace": trace(), "back_trace": trace()}
        until(lambda: front.everything() == [["hi", trace()]])


def test_thread_handler_calls_peer(fleet: LittleFleet) -> None:
    start(fleet)
    fleet.start("Back")
    with connect("Front") as front:
        assert front.ask_from_thread(text="hi") == "HI"


def test_health_reports_connection_state_of_each_need(fleet: LittleFleet) -> None:
    """A need that is lost is told, and makes nobody fail."""
    fleet.add("Back")
    fleet.add("Front", needs=("Back",), wants=("Echo",))
    fleet.start("Front")

    def back() -> str:
        document = front.call("health")
        assert document["status"] == "ok"
        assert document["wants"] == {"Echo": "unknown"}
        assert list(document["needs"]) == ["Back"]
        return str(document["needs"]["Back"])

    with connect("Front") as front:
        assert back() == "unknown"
        with pytest.raises(RemoteError):
            front.ask(text="hi", timeout=0.2)
        assert back() == "lost"
        started = fleet.start("Back")
        front.ask(text="hi")
        assert back() == "ok"
        started.end(signal.SIGKILL)
        until(lambda: back() == "lost")  # nobody has asked
        fleet.start("Back")
        assert front.ask_from_thread(text="hi") == "HI"
        assert back() == "ok"


def test_peer_reports_its_health_with_each_reply(fleet: LittleFleet) -> None:
    moody = fleet.start("HealthAgent")
    heard: list[str] = []
    directory = AddressResolver(fleet.path)
    with named_peer("HealthAgent", directory, "test", heard.append) as peer:
        assert heard == []
        for word in ("degraded", "error", "ok", "ok"):
            peer.feel(status=word)
            peer.ticked()  # the answer to `feel` may tell the new word already
        assert heard == ["ok", "degraded", "failing", "ok"]
        moody.process.kill()
        moody.process.wait()
        with pytest.raises(WireError):
            peer.call("ticked", timeout=0.2)
        assert heard[4:] == ["lost"]


def test_starting_peer_reports_starting_state(fleet: LittleFleet, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    slow = fleet.start("Slow", "--gate", str(gate), ready=False)
    slow.told("X_ARGOSY_HEALTH=starting")
    heard: list[str] = []
    with named_peer("Slow", AddressResolver(fleet.path), "test", heard.append) as peer:
        with pytest.raises(NotSent):
            peer.call("hello", timeout=0.3)
        assert heard == ["starting"]
        gate.touch()
        assert peer.hello() == "hello"
        assert heard == ["starting", "ok"]


def test_error_names_missing_peer_of_called_agent(fleet: LittleFleet) -> None:
    start(fleet)
    with connect("Front") as front, pytest.raises(RemoteError) as told:
        front.ask(text="hi", timeout=0.2)
    assert told.value.code == "NotSent"
    assert told.value.message.startswith("`answer` was not sent to `Back`: ")


def test_agent_reaches_peer_that_starts_later(fleet: LittleFleet) -> None:
    start(fleet)
    with connect("Front") as front:
        with pytest.raises(RemoteError):
            front.ask(text="hi", timeout=0.05)
        fleet.start("Back")
        assert front.ask(text="ho")["text"] == "HO"


def test_event_handlers_receive_numbered_events(fleet: LittleFleet) -> None:
    start(fleet)
    fleet.start("Back")
    with connect("Front") as front, connect("Back") as back:
        assert [back.shout(text=t) for t in "abc"] == [1, 2, 3]
        until(lambda: {text for text, _ in front.everything()} >= {"c"})


def test_connect_without_address_book_raises_input_error() -> None:
    with pytest.raises(InputError, match="ARGOSY_BOOK is not set"):
        connect("Nobody")


def test_connect_to_unknown_name_suggests_nearest(fleet: LittleFleet) -> None:
    start(fleet)
    with pytest.raises(InputError, match="did you mean `Front`"):
        connect("Frnt")
