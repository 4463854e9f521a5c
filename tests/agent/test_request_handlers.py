"""Request handlers over the wire: every way to run, and every named error."""

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


def test_every_kind_of_handler_replies(fleet: LittleFleet) -> None:
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
def test_invalid_arguments_raise_bad_argument_before_handler(
    fleet: LittleFleet, arguments: dict[str, object], message: str
) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        with pytest.raises(BadArgument) as raised:
            peer.call("echo", **arguments)
        assert raised.value.message == message
        assert raised.value.peer == "Echo"
        assert peer.echo(text="still there") == "still there"


def test_failed_call_does_not_affect_other_calls_of_batch(fleet: LittleFleet) -> None:
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


def test_unknown_method_error_suggests_nearest_name(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer, pytest.raises(UnknownMethod, match="did you mean `echo`"):
        peer.ecko()


def test_handler_error_is_sent_with_code_and_logged(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        with pytest.raises(RemoteError) as raised:
            peer.boom()
        assert (raised.value.code, raised.value.message) == ("ValueError", "no such voice")
        with pytest.raises(RemoteError) as raised:
            peer.refuse()
        assert (raised.value.code, raised.value.message) == ("busy", "busy")
        with pytest.raises(RemoteError) as raised:
            peer.secret()
        assert raised.value.code == "unencodable-result"
    _, err = echo.end()
    assert "ValueError: no such voice" in err
    assert "busy" not in err  # it carries a code: it was meant


def test_stream_error_is_raised_after_its_items(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        items = peer.stream("stumble")
        assert next(items) == 1
        with pytest.raises(RemoteError, match="stumbled"):
            next(items)


def test_closing_stream_ends_its_handler(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        with peer.stream("count", to=10**9, size=1000) as items:
            for _ in range(1000):
                next(items)
        until(lambda: peer.noted() == ["count ended"])


def test_stream_sends_no_items_beyond_credit(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        items = peer.stream("count", to=10**9, size=100_000)
        next(items)
        peer.echo(text="x")  # whatever the credit allowed has arrived before this answer
        assert len(items._item_buffer._items) <= 4
        items.close()


def test_handler_receives_bytes_of_any_size_as_bytes(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        for length in (0, 1, 65_535, 65_536, 1_000_000):
            assert peer.size(data=b"x" * length) == ["bytes", length]
            assert peer.size(data=memoryview(b"x" * length)) == ["bytes", length]
            assert peer.call("blob", length=length, returns=bytes) == b"x" * length
        large = peer.blob(length=100_000)
        assert isinstance(large, memoryview)
        assert large.readonly


def test_methods_request_lists_typed_signatures(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        listed = peer.call("argosy.methods")
    assert "add(a: int, b: int = 2) -> int" in listed
