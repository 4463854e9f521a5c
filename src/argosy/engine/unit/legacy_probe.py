"""Sends one request over a plain REQ socket, one frame each way, as legacy programs do."""

from __future__ import annotations

import asyncio

import zmq
import zmq.asyncio

from argosy.wire.zmq_context.context_handle import shared_context


async def request_once(endpoint: str, data: bytes, timeout_s: float) -> bytes | None:
    """Return the answer to `data`, or None when none comes in time; the socket is used once."""
    req_socket = zmq.asyncio.Context.shadow(shared_context().underlying).socket(zmq.REQ)
    try:
        req_socket.linger = 0
        req_socket.connect(endpoint)
        async with asyncio.timeout(timeout_s):
            await req_socket.send(data)
            return bytes(await req_socket.recv())
    except (TimeoutError, zmq.ZMQError):
        return None
    finally:
        req_socket.close()
