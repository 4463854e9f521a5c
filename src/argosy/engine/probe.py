"""Probes: readiness and life seen from outside, for programs that know nothing of argosy.

Quick at first, then backing off. An answer counts only when the port belongs to the process that
was started (its session holds the listening socket): a stale program on the port proves nothing.
A line counts only when it was printed by that process, from its first byte on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.agent.health import Status, normal_status
from argosy.engine.httpget import get_status
from argosy.engine.linesearch import LineSearch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from argosy.engine.errand import Outcome
    from argosy.engine.listeners import Listeners
    from argosy.fleet.spec import Probe

_FIRST_S, _MOST_S, _MOST_LOG_S = 0.02, 1.0, 0.1
ANSWER_WITHIN_S = 2.0
COMMAND_WITHIN_S = 10.0


class View(NamedTuple):
    """What a probe sees of an agent.

    host: where its ports are. session: the process that was started. log, log_start: its output,
    and the size that had when the process was ordered. run(command, seconds): runs a command beside it.
    listeners: who listens where.
    """

    host: str
    session: int
    log: Path
    log_start: int
    run: Callable[[Sequence[str], float], Awaitable[Outcome]]
    listeners: Listeners


class Finding(NamedTuple):
    """What one look found. status: None of a program that does not answer; words: what was seen."""

    status: Status | None
    words: str = ""


async def wait_ready(probe: Probe, port: int | None, view: View, tell: Callable[[str], None]) -> Status:
    """Return once the program is ready by `probe`: OK or DEGRADED.

    Never gives up: the start deadline is the caller's. tell(words): what was found instead, each time.
    """
    if probe.probe == "alive":
        tell("it did not live that long")
        await asyncio.sleep(1.0 if probe.seconds is None else probe.seconds)
        return Status.OK
    if probe.probe == "log":
        assert probe.pattern is not None, "the loader refuses a log probe without a pattern"
        tell(f"no line of its output matched `{probe.pattern}`")
        await _wait_line(LineSearch(view.log, view.log_start, probe.pattern))
        return Status.OK
    async for _ in _backing_off(_MOST_S):
        finding = await look(probe, port, view)
        if finding.status in (Status.OK, Status.DEGRADED):
            return finding.status
        tell(finding.words)
    raise AssertionError("the loop above has no end")


async def look(probe: Probe, port: int | None, view: View) -> Finding:
    """Ask once: a zmq, http, tcp or exec probe."""
    if probe.probe == "exec":
        return await _run(probe, view)
    assert port is not None, "the loader refuses a probe without a port"
    holder, is_own = await view.listeners.find(port, view.session)
    if holder is None:
        return Finding(None, f"port {port} was never opened")
    if not is_own:
        return Finding(None, f"{holder}, not by this agent")
    if probe.probe == "zmq":
        return await _ask_health(view.host, port, probe)
    if probe.probe == "http":
        return await _ask_http(view.host, port, probe)
    return await _knock_tcp(view.host, port)


async def _backing_off(most_s: float) -> AsyncIterator[None]:
    pause_s = _FIRST_S
    while True:
        yield
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, most_s)


async def _wait_line(search: LineSearch) -> None:
    """Return once a line matches; a log that has not grown costs one system call."""
    async for _ in _backing_off(_MOST_LOG_S):
        while search.read_on():
            await asyncio.sleep(0)
        if search.has_matched:
            return


async def _run(probe: Probe, view: View) -> Finding:
    """Run the probe's command: 0 is ready."""
    command = probe.command or []
    outcome = await view.run(command, COMMAND_WITHIN_S)
    if outcome.code == 0:
        return Finding(Status.OK)
    return Finding(None, f"its probe `{shlex.join(command)[:120]}` {outcome}")


async def _knock_tcp(host: str, port: int) -> Finding:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return Finding(None, f"port {port} is open and takes no connection on {host}")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Finding(Status.OK)


async def _ask_http(host: str, port: int, probe: Probe) -> Finding:
    path = probe.path or "/health"
    status = await get_status(host, port, path, ANSWER_WITHIN_S)
    if status is None:
        return Finding(None, f"port {port} is open and does not answer GET {path} on {host}")
    if 200 <= status < 300:
        return Finding(Status.OK)
    return Finding(None, f"port {port} answers GET {path} with status {status}")


async def _ask_health(host: str, port: int, probe: Probe) -> Finding:
    """Send the probe's message, by default the standard's, and judge the answer."""
    from argosy.engine.oldspeaker import ask_once  # noqa: PLC0415 - pyzmq, for fleets that need it

    message = probe.send if probe.send is not None else {"action": "health"}
    data = message.encode() if isinstance(message, str) else json.dumps(message).encode()
    answer = await ask_once(f"tcp://{host}:{port}", data, ANSWER_WITHIN_S)
    if answer is None:
        return Finding(None, f"port {port} is open and does not answer the zmq probe")
    status = judge(answer)
    said = answer[:120].decode(errors="replace")
    return Finding(status, f"port {port} answers the zmq probe with {said}")


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
