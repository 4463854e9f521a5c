"""Malformed input: an agent survives any bytes on its port, and keeps serving valid clients."""

from __future__ import annotations

import random
import threading
from contextlib import ExitStack

import msgspec
import pytest
import zmq

from argosy.wire import OutcomeUnknown, Overloaded, RemoteError, connect
from argosy.wire.protocol import codec, frame
from launch import LittleFleet, until

ROUNDS = 3000


def noise(chance: random.Random) -> list[bytes]:
    """Random frames, of which many begin as ours do, or as a REQ's do."""
    value = chance.choice(
        [None, [], {}, [1], [[1, "echo", 0, {}]], [[1, "echo", 2**63, {"text": 1}]], "x", [[]]]
    )
    packed = msgspec.msgpack.encode(value)
    kinds = [*frame.KINDS, 0, 77]
    head = bytearray(
        frame.pack_header(chance.choice(kinds), chance.getrandbits(64), chance.choice([0, 0, 0, 1, 9]))
    )
    if chance.random() < 0.2:
        head[chance.randrange(24)] = chance.randrange(256)
    bodies = [
        bytes(head) + packed,
        bytes(head) + chance.randbytes(chance.randrange(40)),
        chance.randbytes(chance.randrange(60)),
        b"",
        b"{" + chance.randbytes(5),
        b'{"action": "echo", "text": %d}' % chance.randrange(9),
        b'{"action": [1]}',
        b"[1, 2]",
    ]
    return [chance.choice(bodies) for _ in range(chance.choice([1, 1, 1, 2, 2, 3, 9]))]


def test_agent_survives_random_frames(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    chance = random.Random(20)
    with zmq.Context() as context:
        dealers = [context.socket(zmq.DEALER) for _ in range(3)]
        for dealer in dealers:
            dealer.linger = 1000
            dealer.connect(echo.url)
        for turn in range(ROUNDS):
            dealer = chance.choice(dealers)
            dealer.send_multipart(noise(chance))
            if turn % 50 == 0:
                while dealer.poll(0):
                    dealer.recv_multipart()
        for dealer in dealers:
            dealer.close(1000)
    with connect("Echo") as peer:
        assert peer.echo(text="well") == "well"
        assert peer.call("health")["in_flight"] == 0
    _, err = echo.end()
    assert echo.code == 0
    assert "Traceback" not in err


def proper(chance: random.Random) -> list[bytes]:
    """One message as a caller of ours sends it, of every kind."""
    number, deadline_us = chance.randrange(1, 50), frame.now_us() + 10_000_000
    blob = msgspec.msgpack.encode({"data": msgspec.msgpack.Ext(1, msgspec.msgpack.encode([0, "", [99]]))})
    calls: list[tuple[object, ...]] = [
        (number, "echo", deadline_us, {"text": "x" * chance.randrange(99)}),
        (number, "count", deadline_us, {"to": 5}, "trace", 2048),
        (number, "size", deadline_us, msgspec.Raw(blob)),
    ]
    records = [msgspec.msgpack.encode(call) for call in chance.choices(calls[:2], k=chance.randrange(1, 4))]
    return chance.choice(
        [
            [codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test"))],
            [codec.encode_batch(frame.CALL, 1, records)],
            [codec.encode_batch(frame.CALL, 1, [msgspec.msgpack.encode(calls[2])], 1), b"y" * 99],
            [codec.encode_single(frame.CANCEL, 1, [number])],
            [codec.encode_single(frame.CREDIT, 1, [(number, 4096)])],
        ]
    )


def garble(message: list[bytes], chance: random.Random) -> list[bytes]:
    """Cut a message short, flip bits of it, or lose, double or swap frames."""
    frames = list(message)
    index = chance.randrange(len(frames))
    way = chance.randrange(5)
    if way == 0:
        frames[index] = frames[index][: chance.randrange(len(frames[index]))]
    elif way == 1:
        broken = bytearray(frames[index])
        for _ in range(chance.randrange(1, 4)):
            broken[chance.randrange(3, len(broken))] ^= 1 << chance.randrange(8)
        frames[index] = bytes(broken)
    elif way == 2:
        frames.insert(index, frames[index])
    elif way == 3:
        frames.append(chance.randbytes(chance.randrange(80)))
    else:
        frames[index] += chance.randbytes(chance.randrange(1, 9))
    return frames


def outcomes(dealers: list[zmq.Socket[bytes]], count: int) -> list[tuple[int, int, object]]:
    """Return (tag, id, value) of the first `count` replies over all dealers."""
    found: list[tuple[int, int, object]] = []
    poller = zmq.Poller()
    for dealer in dealers:
        poller.register(dealer, zmq.POLLIN)
    while len(found) < count:
        ready = dict(poller.poll(10_000))
        assert ready, f"{len(found)} of {count} replies came"
        for dealer in ready:
            found += [
                (r.tag, r.id, msgspec.msgpack.decode(r.value)) for r in replies(dealer.recv_multipart())
            ]
    return found


@pytest.mark.parametrize(
    ("clients", "calls_each", "limit"),
    [(1, 1024 + 7, 1024), (9, 1000, 8192)],
    ids=["of one client", "in all"],
)
def test_server_refuses_calls_beyond_its_limit(
    fleet: LittleFleet, clients: int, calls_each: int, limit: int
) -> None:
    """Clients of argosy keep to the limit that the greeting names; these do not."""
    echo = fleet.start("Echo")
    with zmq.Context() as context, ExitStack() as sockets:
        dealers = [sockets.enter_context(context.socket(zmq.DEALER)) for _ in range(clients)]
        for dealer in dealers:
            dealer.linger = 0
            dealer.rcvhwm = dealer.sndhwm = 0
            dealer.connect(echo.url)
            dealer.send(codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test")))
        deadline_us = frame.now_us() + 60_000_000
        for dealer in dealers:
            records = [
                msgspec.msgpack.encode((number, "wait", deadline_us, {"seconds": 60}))
                for number in range(1, calls_each + 1)
            ]
            dealer.send(codec.encode_batch(frame.CALL, 1, records))
        beyond = clients * calls_each - limit
        refused = outcomes(dealers, beyond)
        with connect("Echo") as other:
            if clients == 1:
                assert other.call("health")["in_flight"] == limit
            else:
                with pytest.raises(Overloaded, match=f"requests in flight there: {limit + 1}"):
                    other.call("health")
        assert not any(replies(d.recv_multipart()) for d in dealers if d.poll(0))
    assert {tag for tag, _, _ in refused} == {codec.REFUSED}
    assert {value[0] for _, _, value in refused} == {codec.OVERLOADED}  # type: ignore[index]
    assert len(refused) == beyond


@pytest.mark.parametrize("seed", range(3))
def test_agent_survives_garbled_messages_of_greeted_client(fleet: LittleFleet, seed: int) -> None:
    """Behind a proper greeting, with proper messages between the broken ones, on lanes that answer."""
    echo = fleet.start("Echo")
    chance = random.Random(seed)
    kinds: set[int] = set()
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.rcvhwm = 0
        dealer.connect(echo.url)
        dealer.send(codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test")))
        for _ in range(ROUNDS):
            message = proper(chance)
            dealer.send_multipart(garble(message, chance) if chance.random() < 0.7 else message)
            while dealer.poll(0):
                kinds.add(kind_of(dealer.recv_multipart()))
        with connect("Echo") as peer:
            assert peer.echo(text="well") == "well"
        dealer.send(codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test")))
        record = msgspec.msgpack.encode((10**6, "echo", frame.now_us() + 60_000_000, {"text": "well"}))
        dealer.send(codec.encode_batch(frame.CALL, 1, [record]))
        dealer.rcvtimeo = 10_000
        answered_ids: set[int] = set()
        while 10**6 not in answered_ids:  # what the agent has not come to yet is answered before
            message = dealer.recv_multipart()
            kinds.add(kind_of(message))
            answered_ids |= {said.id for said in replies(message)}
    assert kinds >= {frame.WELCOME, frame.REPLY}
    with connect("Echo") as peer:
        until(lambda: peer.call("health")["in_flight"] == 0)
    _, err = echo.end()
    assert echo.code == 0
    assert "Traceback" not in err


def replies(message: list[bytes]) -> list[codec.ReplyRecord]:
    """Return the replies in a message."""
    return codec.read_replies(memoryview(message[0])) if kind_of(message) == frame.REPLY else []


def kind_of(message: list[bytes]) -> int:
    """Return the kind of a message of ours; 0 for one of JSON, which a cut one may be answered with."""
    head = frame.unpack_header(message[0])
    return head[0] if head else 0


def test_server_answers_stale_to_call_without_hello(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.rcvtimeo = 5000
        dealer.connect(echo.url)
        record = msgspec.msgpack.encode((7, "note", 2**60, {"text": "x"}))
        dealer.send(codec.encode_batch(frame.CALL, 1, [record]))
        answer = memoryview(dealer.recv())
    assert kind_of([answer.tobytes()]) == frame.STALE
    assert codec.read_ids(answer) == [7]
    with connect("Echo") as peer:
        assert peer.noted() == []


def test_server_does_not_execute_call_past_deadline(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.rcvtimeo = 5000
        dealer.connect(echo.url)
        dealer.send(codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test")))
        assert kind_of([dealer.recv()]) == frame.WELCOME
        record = msgspec.msgpack.encode((7, "note", frame.now_us() - 1_000_000, {"text": "x"}))
        dealer.send(codec.encode_batch(frame.CALL, 1, [record]))
        (reply,) = codec.read_replies(memoryview(dealer.recv()))
    assert (reply.id, reply.tag) == (7, codec.REFUSED)
    assert msgspec.msgpack.decode(reply.value)[0] == codec.EXPIRED
    with connect("Echo") as peer:
        assert peer.noted() == []


def test_second_hello_cancels_requests_of_first(fleet: LittleFleet) -> None:
    """It stayed in flight for ever: neither its answer nor its caller's end was seen any more."""
    echo = fleet.start("Echo")
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(echo.url)
        record = msgspec.msgpack.encode((7, "wait", 2**60, {"seconds": 60}))
        with connect("Echo") as peer:
            for _ in range(2):
                dealer.send(codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test")))
                dealer.send(codec.encode_batch(frame.CALL, 1, [record]))
                until(lambda: peer.call("health")["in_flight"] == 1)
            until(lambda: peer.noted() == ["wait cancelled"])
            assert peer.call("health")["in_flight"] == 1
            dealer.close(0)
            until(lambda: peer.call("health")["in_flight"] == 0)


def test_server_cancels_handlers_of_disconnected_client(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.rcvtimeo = 5000
        dealer.connect(echo.url)
        dealer.send(codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test")))
        dealer.recv()
        record = msgspec.msgpack.encode((7, "wait", 2**60, {"seconds": 60}))
        dealer.send(codec.encode_batch(frame.CALL, 1, [record]))
        with connect("Echo") as peer:
            while not peer.call("health")["in_flight"]:
                pass
            dealer.close(0)
            while peer.noted() != ["wait cancelled"]:
                pass
            assert peer.call("health")["in_flight"] == 0


@pytest.mark.parametrize("bad", [b"\xff\xff", b"\x91\x93\x01\x00", b"\x91\x93\x01\x01\x92\xa1\xff\xa0"])
def test_undecodable_reply_raises_outcome_unknown(fleet: LittleFleet, bad: bytes) -> None:
    entry = fleet.add("Echo")

    def reply_with_garbage(socket: zmq.Socket[bytes]) -> None:
        who = socket.recv_multipart()[0]
        welcome = codec.Welcome(1, "Echo", 10, codec.MAX_RECORD_BYTES)
        socket.send_multipart([who, codec.encode_single(frame.WELCOME, 1, welcome)])
        socket.recv_multipart()
        socket.send_multipart([who, frame.pack_header(frame.REPLY, 1) + bad])

    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 1000
        router.rcvtimeo = 5000
        router.bind(f"tcp://{entry.bind}:{entry.port}")
        thread = threading.Thread(target=reply_with_garbage, args=(router,))
        thread.start()
        with connect("Echo") as peer, pytest.raises(OutcomeUnknown, match="cannot be read"):
            peer.echo(text="x")
        thread.join(10)


def test_result_of_wrong_type_raises_remote_error(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer, pytest.raises(RemoteError, match="Expected `int`, got `str`") as raised:
        peer.call("echo", text="x", returns=int)
    assert raised.value.code == "undecodable-result"


def test_invalid_json_request_gets_error_code(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.rcvtimeo = 5000
        req.connect(echo.url)
        codes = []
        for text in (b"hello", b"[1]", b"{}", b'{"action": 3}', b'{"action": "nope"}', b'{"action": "boom"}'):
            req.send(text)
            answer = msgspec.json.decode(req.recv())
            assert set(answer["error"]) == {"code", "message"}
            codes.append(answer["error"]["code"])
    assert codes == ["not-json", "not-json", "no-action", "no-action", "unknown-method", "ValueError"]


def test_req_correlate_and_dealer_clients_get_replies(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with zmq.Context() as context:
        with context.socket(zmq.REQ) as req:
            req.linger = 0
            req.rcvtimeo = 5000
            req.req_correlate = 1
            req.connect(echo.url)
            req.send_json({"action": "add", "a": 1, "b": 1, "trace": "t1"})
            assert req.recv_json() == {"result": 2}
        with context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.rcvtimeo = 5000
            dealer.connect(echo.url)
            dealer.send_json({"action": "count", "to": 3})
            assert dealer.recv_json() == {"result": [0, 1, 2]}
