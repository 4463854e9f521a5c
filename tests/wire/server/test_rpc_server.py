"""RPC server: custom JSON requests, no use of sockets after close, and errors of bind."""

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


class PlainTextRequest(JsonRequest):
    """A message that is no JSON, taken as it is."""


def read_any(reply_sender: ReplySender, route: Any, text: Any) -> JsonRequest:
    if bytes(text) == b"no":
        raise MalformedRequestError("no", "not that")
    return PlainTextRequest(reply_sender, route, bytes(text).decode(), {})


def test_rpc_server_reads_json_requests_with_given_reader(tmp_path: Path) -> None:
    async def main() -> None:
        delivered: list[IncomingRequest] = []
        running_server = RpcServer(
            "Echo", LoopReactor(asyncio.get_running_loop()), delivered.append, read_any
        )
        endpoint = f"inproc://{tmp_path.name}"
        running_server.bind([endpoint])
        with shared_context().socket(zmq.REQ) as req:
            req.linger = 0
            req.connect(endpoint)
            req.send(b"whatever")
            async with asyncio.timeout(10):
                while not delivered:
                    await asyncio.sleep(0.001)
            assert isinstance(delivered[0], PlainTextRequest)
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
        running_server.close()

    asyncio.run(main())


def test_pending_callbacks_use_no_socket_after_close(tmp_path: Path) -> None:
    """Without the guard each of them is an ENOTSOCK in somebody's loop."""

    async def main() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        loop_errors: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: loop_errors.append(context))
        reactor = LoopReactor(loop)
        delivered: list[IncomingRequest] = []
        running_server = RpcServer("Echo", reactor, delivered.append, read_any)
        running_server.bind([f"inproc://{tmp_path.name}"])
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
            running_server.drain()
            running_server._outbox.flush_soon()
            for each in (running_server, publisher, subscriber):
                each.close()
            delivered[0].reply("too late")
            running_server.drain()
            for _ in range(5):
                await asyncio.sleep(0)
        assert running_server.statistics()["late"] == 1
        return loop_errors

    assert asyncio.run(main()) == []


def test_publisher_bind_error_names_port_and_address(tmp_path: Path) -> None:
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
