"""Handlers called over the wire: each way to run, and each way to fail, by its name."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from argosy.wire import BadArgument, RemoteError, UnknownMethod, connect
from argosy.wire.address_book import AddressResolver
from argosy.wire.client.peer import Peer
from argosy.wire.client.sync_peer import named_channel
from argosy.wire.transport.reactor import LoopReactor
from launch import LittleFleet, until


class Utterance(msgspec.Struct):
    text: str
    loud: bool


def test_every_kind_of_handler_answers(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        assert peer.echo(text="ab", times=2) == "abab"
        assert peer.add(a=1) == 3
        assert peer.in_thread(text="ab") == "AB"
        assert peer.speak(utterance={"text": "hi"}) == {"text": "hi", "loud": True}
        assert peer.call("speak", utterance={"text": "hi"}, returns=Utterance) == Utterance("hi", True)
        assert list(peer.stream("count", to=3)) == [0, 1, 2]
        assert peer.count(to=3) == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": 3}, "Expected `str`, got `int` - at `$.text`"),
        ({}, "Object missing required field `text`"),
        ({"text": "a", "txet": 1}, "Object contains unknown field `txet`"),
        ({"text": "a", "times": "2"}, "Expected `int`, got `str` - at `$.times`"),
    ],
)
def test_arguments_that_do_not_fit_never_reach_the_handler(
    fleet: LittleFleet, arguments: dict[str, object], message: str
) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        with pytest.raises(BadArgument) as told:
            peer.call("echo", **arguments)
        assert told.value.message == message
        assert told.value.peer == "Echo"
        assert peer.echo(text="still there") == "still there"


def test_one_bad_call_does_not_fail_its_neighbours_in_the_same_message(fleet: LittleFleet) -> None:
    fleet.start("Echo")

    async def ask() -> list[object]:
        channel = named_channel("Echo", AddressResolver(fleet.path), LoopReactor(asyncio.get_running_loop()))
        peer = Peer(channel)
        await peer.echo(text="dialled")
        calls = [peer.echo(text="a"), peer.echo(text=7), peer.ecko(), peer.boom(), peer.echo(text="b")]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        channel.close()
        return answers

    first, bad, unknown, boom, last = asyncio.run(ask())
    assert (first, last) == ("a", "b")
    assert [type(e) for e in (bad, unknown, boom)] == [BadArgument, UnknownMethod, RemoteError]


def test_an_unknown_method_names_the_nearest(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer, pytest.raises(UnknownMethod, match="did you mean `echo`"):
        peer.ecko()


def test_an_error_in_a_handler_has_its_class_and_text_and_is_logged(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        with pytest.raises(RemoteError) as told:
            peer.boom()
        assert (told.value.code, told.value.message) == ("ValueError", "no such voice")
        with pytest.raises(RemoteError) as told:
            peer.refuse()
        assert (told.value.code, told.value.message) == ("busy", "busy")
        with pytest.raises(RemoteError) as told:
            peer.secret()
        assert told.value.code == "unencodable-result"
    _, err = echo.end()
    assert "ValueError: no such voice" in err
    assert "busy" not in err  # it carries a code: it was meant


def test_a_stream_that_fails_does_so_behind_its_items(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        items = peer.stream("stumble")
        assert next(items) == 1
        with pytest.raises(RemoteError, match="stumbled"):
            next(items)


def test_a_consumer_that_leaves_ends_the_source(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        with peer.stream("count", to=10**9, size=1000) as items:
            for _ in range(1000):
                next(items)
        until(lambda: peer.noted() == ["count ended"])


def test_a_stream_never_runs_ahead_of_its_credit(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        items = peer.stream("count", to=10**9, size=100_000)
        next(items)
        peer.echo(text="x")  # whatever the credit allowed has arrived before this answer
        assert len(items._item_buffer._items) <= 4
        items.close()


def test_bytes_arrive_as_what_the_handler_says_at_every_size(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        for length in (0, 1, 65_535, 65_536, 1_000_000):
            assert peer.size(data=b"x" * length) == ["bytes", length]
            assert peer.size(data=memoryview(b"x" * length)) == ["bytes", length]
            assert peer.call("blob", length=length, returns=bytes) == b"x" * length
        large = peer.blob(length=100_000)
        assert isinstance(large, memoryview)
        assert large.readonly


def test_methods_are_listed_with_their_types(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        listed = peer.call("argosy.methods")
    assert "add(a: int, b: int = 2) -> int" in listed
