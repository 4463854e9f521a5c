"""The callee's end of its life: what was queued before it touches no closed socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import zmq

from argosy.fault import RefusedError
from argosy.wire.pubsub.topic import Publisher, Subscriber
from argosy.wire.server.incoming_request import (
    IncomingRequest,
    JsonRequest,
    MalformedRequestError,
    ReplySender,
)
from argosy.wire.server.rpc_server import RpcServer
from argosy.wire.transport.reactor import LoopReactor
from argosy.wire.zmq_context.context_handle import shared_context


class Letter(JsonRequest):
    """A message that is no JSON, taken as it is."""


def read_any(desk: ReplySender, route: Any, text: Any) -> JsonRequest:
    if bytes(text) == b"no":
        raise MalformedRequestError("no", "not that")
    return Letter(desk, route, bytes(text).decode(), {})


def test_letters_are_read_as_its_owner_says(tmp_path: Path) -> None:
    async def main() -> None:
        delivered: list[IncomingRequest] = []
        callee = RpcServer("Echo", LoopReactor(asyncio.get_running_loop()), delivered.append, read_any)
        endpoint = f"inproc://{tmp_path.name}"
        callee.bind([endpoint])
        with shared_context().socket(zmq.REQ) as req:
            req.linger = 0
            req.connect(endpoint)
            req.send(b"whatever")
            async with asyncio.timeout(10):
                while not delivered:
                    await asyncio.sleep(0.001)
            assert isinstance(delivered[0], Letter)
            assert delivered[0].method == "whatever"
            delivered[0].send_document({"heard": "it"})
            while not req.poll(0):
                await asyncio.sleep(0.001)
            assert req.recv_json() == {"heard": "it"}
            req.send(b"no")
            while not req.poll(0):
                await asyncio.sleep(0.001)
            assert req.recv_json() == {"error": {"code": "no", "message": "not that"}}
        assert len(delivered) == 1
        callee.close()

    asyncio.run(main())


def test_acts_that_were_due_at_its_end_touch_no_closed_socket(tmp_path: Path) -> None:
    """Without the guard each of them is an ENOTSOCK in somebody's loop."""

    async def main() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        told: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        reactor = LoopReactor(loop)
        delivered: list[IncomingRequest] = []
        callee = RpcServer("Echo", reactor, delivered.append, read_any)
        callee.bind([f"inproc://{tmp_path.name}"])
        publisher = Publisher("Echo", 1, reactor)
        publisher.bind(f"inproc://{tmp_path.name}.t")
        subscriber = Subscriber(reactor, lambda _: None)
        subscriber.subscribe(["t"], [f"inproc://{tmp_path.name}.t"])
        with shared_context().socket(zmq.REQ) as req:
            req.linger = 0
            req.connect(f"inproc://{tmp_path.name}")
            req.send(b"whatever")
            async with asyncio.timeout(10):
                while not delivered:
                    await asyncio.sleep(0.001)
            publisher.publish("t", 1)
            callee.drain()
            callee._outbox.flush_soon()
            for each in (callee, publisher, subscriber):
                each.close()
            delivered[0].reply("too late")
            callee.drain()
            for _ in range(5):
                await asyncio.sleep(0)
        assert callee.statistics()["late"] == 1
        return told

    assert asyncio.run(main()) == []


def test_what_cannot_be_bound_is_named_for_publications_too(tmp_path: Path) -> None:
    async def main() -> None:
        publisher = Publisher("Echo", 1, LoopReactor(asyncio.get_running_loop()))
        try:
            with pytest.raises(RefusedError, match=r"`Echo` cannot bind port 1 on `192\.0\.2\.1`"):
                publisher.bind("tcp://192.0.2.1:1")
            assert publisher.bind("tcp://127.0.0.1:*").rpartition(":")[2].isdecimal()
            publisher.bind(f"ipc://{tmp_path}/z/Echo.t")  # its folder is made
            assert (tmp_path / "z" / "Echo.t").exists()
        finally:
            publisher.close()

    asyncio.run(main())
