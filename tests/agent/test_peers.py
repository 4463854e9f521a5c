"""Agents that call each other, and what travels with the calls."""

from __future__ import annotations

import pytest

from argosy.agent import trace
from argosy.fault import InputError
from argosy.wire import RemoteError, connect
from argosy.wire.trace import begin_trace
from launch import LittleFleet, until


def start(fleet: LittleFleet) -> None:
    for name in ("Front", "Back"):
        fleet.add(name)
    fleet.start("Front")


def test_one_trace_travels_through_requests_and_events(fleet: LittleFleet) -> None:
    start(fleet)
    fleet.start("Back")
    begin_trace()
    with connect("Front") as front:
        answer = front.ask(text="hi")
        assert answer == {"text": "HI", "trace": trace(), "back_trace": trace()}
        until(lambda: front.everything() == [["hi", trace()]])


def test_a_handler_in_a_thread_calls_a_peer(fleet: LittleFleet) -> None:
    start(fleet)
    fleet.start("Back")
    with connect("Front") as front:
        assert front.ask_from_thread(text="hi") == "HI"


def test_a_missing_hop_is_named_at_the_first_caller(fleet: LittleFleet) -> None:
    start(fleet)
    with connect("Front") as front, pytest.raises(RemoteError) as told:
        front.ask(text="hi", timeout=0.2)
    assert told.value.code == "NotSent"
    assert told.value.message.startswith("`answer` was not sent to `Back`: ")


def test_a_peer_that_comes_late_is_found(fleet: LittleFleet) -> None:
    start(fleet)
    with connect("Front") as front:
        with pytest.raises(RemoteError):
            front.ask(text="hi", timeout=0.05)
        fleet.start("Back")
        assert front.ask(text="ho")["text"] == "HO"


def test_events_reach_plain_functions_and_number_on(fleet: LittleFleet) -> None:
    start(fleet)
    fleet.start("Back")
    with connect("Front") as front, connect("Back") as back:
        assert [back.shout(text=t) for t in "abc"] == [1, 2, 3]
        until(lambda: {text for text, _ in front.everything()} >= {"c"})


def test_an_unknown_peer_is_told_at_once() -> None:
    with pytest.raises(InputError, match="ARGOSY_BOOK is not set"):
        connect("Nobody")


def test_an_unknown_name_gets_the_nearest(fleet: LittleFleet) -> None:
    start(fleet)
    with pytest.raises(InputError, match="did you mean `Front`"):
        connect("Frnt")
