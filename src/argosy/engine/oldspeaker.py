"""One question to an agent the way old programs ask: a plain REQ socket, one frame each way."""

from __future__ import annotations

import asyncio

import zmq
import zmq.asyncio

from argosy.wire.lease import shared_context


async def ask_once(endpoint: str, data: bytes, within_s: float) -> bytes | None:
    """Return the answer to `data`, or None when none comes in time; the socket is thrown away."""
    asked = zmq.asyncio.Context.shadow(shared_context().underlying).socket(zmq.REQ)
    try:
        asked.linger = 0
        asked.connect(endpoint)
        async with asyncio.timeout(within_s):
            await asked.send(data)
            return bytes(await asked.recv())
    except (TimeoutError, zmq.ZMQError):
        return None
    finally:
        asked.close()
