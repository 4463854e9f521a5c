"""Probes: readiness seen from outside, for programs that know nothing of argosy.

Quick at first, then backing off. An answer counts only when the port belongs to the process that
was started (its session holds the listening socket): a stale program on the port proves nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from argosy.agent.health import Status, normal_status
from argosy.engine.ports import is_held_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from argosy.fleet.spec import Probe

_FIRST_S, _MOST_S = 0.02, 1.0
_ANSWER_WITHIN_S = 2.0


async def wait_ready(probe: Probe, host: str, port: int | None, session: int) -> Status:
    """Return once the program that leads `session` is ready by `probe`: OK or DEGRADED.

    Never gives up: the start deadline is the caller's.
    """
    if probe.probe == "alive":
        await asyncio.sleep(1.0 if probe.seconds is None else probe.seconds)
        return Status.OK
    assert port is not None, "the plan refuses a probe without a port"
    async for _ in _backing_off():
        if not is_held_by(port, session):
            continue
        status = await (_ask_health(host, port, probe) if probe.probe == "zmq" else _knock_tcp(host, port))
        if status in (Status.OK, Status.DEGRADED):
            return status
    raise AssertionError("the loop above has no end")


async def _backing_off() -> AsyncIterator[None]:
    pause_s = _FIRST_S
    while True:
        yield
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _MOST_S)


async def _knock_tcp(host: str, port: int) -> Status | None:
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return None
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Status.OK


async def _ask_health(host: str, port: int, probe: Probe) -> Status | None:
    """Send the probe's message, by default the standard's, and judge the answer."""
    from argosy.engine.oldspeaker import ask_once  # noqa: PLC0415 - pyzmq, for fleets that need it

    message = probe.send if probe.send is not None else {"action": "health"}
    data = message.encode() if isinstance(message, str) else json.dumps(message).encode()
    answer = await ask_once(f"tcp://{host}:{port}", data, _ANSWER_WITHIN_S)
    return None if answer is None else judge(answer)


def judge(answer: bytes) -> Status | None:
    """Return the status in a health answer; any answer without one means that the program answers.

    A JSON object that holds an `error` and no status is no sign of health.
    """
    try:
        payload = json.loads(answer)
    except ValueError:
        return Status.OK
    if not isinstance(payload, dict):
        return Status.OK
    if "status" in payload:
        return normal_status(payload["status"])
    return None if "error" in payload else Status.OK
