"""Probes: readiness and liveness checked from outside, for programs that do not use the library.

Fast at first, then backing off. An answer counts only when the port belongs to the process that was
started (its session holds the listening socket): a stale program on the port proves nothing. A log line
counts only when that process printed it, from its first byte on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.agent.health import Status, normalize_status
from argosy.engine.logs.log_reader import LineSearch
from argosy.engine.unit.http_get import get_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from argosy.engine.inventory.port_owners import PortOwners
    from argosy.engine.plan.process_plan import LivenessSchedule
    from argosy.engine.process.helper_process import HelperResult
    from argosy.fleet.fleet_spec import Probe

_FIRST_PAUSE_S, _MAX_PAUSE_S, _MAX_LOG_PAUSE_S = 0.02, 1.0, 0.1
PROBE_REPLY_TIMEOUT_S = 2.0
PROBE_COMMAND_TIMEOUT_S = 10.0
# A probe that exceeds its longest time-out by this: the supervisor itself was stopped meanwhile.
_STALL_S = 1.0


class ProbeTarget(NamedTuple):
    """The agent that a probe checks.

    host: where its ports are. session: the process that was started. log, log_start: its output, and
    the size of the log when the process was started. run_helper(command, seconds): runs a command beside
    it. listeners: which process listens on which port.
    """

    host: str
    session: int
    log: Path
    log_start: int
    run_helper: Callable[[Sequence[str], float], Awaitable[HelperResult]]
    listeners: PortOwners


class ProbeResult(NamedTuple):
    """The finding of one probe. status: None when the program does not answer; description: the finding."""

    status: Status | None
    description: str = ""


async def wait_ready(
    probe: Probe, port: int | None, target: ProbeTarget, on_finding: Callable[[str], None]
) -> Status:
    """Return OK or DEGRADED once the program is ready by `probe`.

    Never gives up: the caller has a time-out. on_finding(description): called with each other finding.
    """
    if probe.probe == "alive":
        on_finding("it did not stay alive that long")
        await asyncio.sleep(1.0 if probe.seconds is None else probe.seconds)
        return Status.OK
    if probe.probe == "log":
        assert probe.pattern is not None, "the loader refuses a log probe without a pattern"
        on_finding(f"no line of its output matched `{probe.pattern}`")
        await _wait_line(LineSearch(target.log, target.log_start, probe.pattern))
        return Status.OK
    async for _ in _poll_with_backoff(_MAX_PAUSE_S):
        result = await run_probe(probe, port, target)
        if result.status in (Status.OK, Status.DEGRADED):
            return result.status
        on_finding(result.description)
    raise AssertionError("the loop above never ends")


async def run_probe(probe: Probe, port: int | None, target: ProbeTarget) -> ProbeResult:
    """Run a zmq, http, tcp or exec probe once."""
    if probe.probe == "exec":
        return await _run_command(probe, target)
    assert port is not None, "the loader refuses a probe without a port"
    owner, is_own = await target.listeners.find_listener(port, target.session)
    if owner is None:
        return ProbeResult(None, f"port {port} was never opened")
    if not is_own:
        return ProbeResult(None, f"{owner}, not by this agent")
    if probe.probe == "zmq":
        return await _request_health(target.host, port, probe)
    if probe.probe == "http":
        return await _request_http(target.host, port, probe)
    return await _connect_tcp(target.host, port)


async def _poll_with_backoff(most_s: float) -> AsyncIterator[None]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, most_s)


async def _wait_line(search: LineSearch) -> None:
    """Return once a line matches; checking a log that has not grown costs one system call."""
    async for _ in _poll_with_backoff(_MAX_LOG_PAUSE_S):
        while search.search_next():
            await asyncio.sleep(0)
        if search.has_matched:
            return


async def _run_command(probe: Probe, target: ProbeTarget) -> ProbeResult:
    """Run the probe's command; exit code 0 means ready."""
    command = probe.command or []
    result = await target.run_helper(command, PROBE_COMMAND_TIMEOUT_S)
    if result.code == 0:
        return ProbeResult(Status.OK)
    return ProbeResult(None, f"its probe `{shlex.join(command)[:120]}` {result}")


async def _connect_tcp(host: str, port: int) -> ProbeResult:
    try:
        async with asyncio.timeout(PROBE_REPLY_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return ProbeResult(None, f"port {port} is open but accepts no connection on {host}")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return ProbeResult(Status.OK)


async def _request_http(host: str, port: int, probe: Probe) -> ProbeResult:
    path = probe.path or "/health"
    status = await get_status(host, port, path, PROBE_REPLY_TIMEOUT_S)
    if status is None:
        return ProbeResult(None, f"port {port} is open but does not answer GET {path} on {host}")
    if 200 <= status < 300:
        return ProbeResult(Status.OK)
    return ProbeResult(None, f"port {port} answers GET {path} with status {status}")


async def _request_health(host: str, port: int, probe: Probe) -> ProbeResult:
    """Send the probe's message, by default the standard health request, and judge the answer."""
    from argosy.engine.unit.legacy_probe import request_once  # noqa: PLC0415 - loads pyzmq only if needed

    message = probe.send if probe.send is not None else {"action": "health"}
    data = message.encode() if isinstance(message, str) else json.dumps(message).encode()
    answer = await request_once(f"tcp://{host}:{port}", data, PROBE_REPLY_TIMEOUT_S)
    if answer is None:
        return ProbeResult(None, f"port {port} is open but does not answer the zmq probe")
    status = status_in_reply(answer)
    excerpt = answer[:120].decode(errors="replace")
    return ProbeResult(status, f"port {port} answers the zmq probe with {excerpt}")


def status_in_reply(reply: bytes) -> Status | None:
    """Return the status in a health answer; an answer without one means OK.

    A JSON object with an `error` and no status does not count as alive.
    """
    try:
        payload = json.loads(reply)
    except ValueError:
        return Status.OK
    if not isinstance(payload, dict):
        return Status.OK
    if "status" in payload:
        return normalize_status(payload["status"])
    return None if "error" in payload else Status.OK


async def watch_liveness(
    probe: Probe, target: ProbeTarget, schedule: LivenessSchedule, on_alive: Callable[[Status], None]
) -> str:
    """Probe a ready agent at an interval; return why it is no longer alive, after too many failures in a row.

    Its reported health is passed on and never counts as a failure. Only silence does, a port that another
    process has taken, and an error status or exit code. on_alive(status): called after each successful probe.
    """
    failed = 0
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(schedule.interval_s)
        started_at = loop.time()
        result = await run_probe(probe, probe.port, target)
        if result.status is not None:
            failed = 0
            on_alive(result.status)
        elif loop.time() - started_at < PROBE_COMMAND_TIMEOUT_S + _STALL_S:
            failed += 1
            if failed >= schedule.failures:
                times = "once" if failed == 1 else f"{failed} times in a row"
                return f"failed its liveness probe {times}: {result.description}"
