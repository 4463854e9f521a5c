"""Monitors one agent through its notify socket, its probes and its watchdog."""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from argosy.agent.health import Status
from argosy.agent.notifier import HEARTBEAT_S
from argosy.engine.unit.notify_socket import NotifySocket
from argosy.engine.unit.probe import ProbeTarget, wait_ready, watch_liveness
from argosy.fleet.fleet_spec import Probe

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from argosy.engine.inventory.port_owners import PortOwners
    from argosy.engine.plan.process_plan import LivenessSchedule, ProcessSpec
    from argosy.engine.process.helper_process import HelperResult
    from argosy.engine.unit.notify_socket import NotifyBatcher

SILENT_AFTER_S: Final = 4 * HEARTBEAT_S
_EINVAL = str(errno.EINVAL)


class MonitoredUnit(Protocol):
    """Receives what the monitor finds."""

    def on_health(self, health: str | None) -> None:
        """It is ready, repeated with each report; `health` is its own report, None when it makes none."""

    def on_frozen(self, reason: str) -> None:
        """The watchdog ran out, or a liveness probe failed too often."""

    def on_finished(self) -> None:
        """The agent shares its process, and its part of it has ended."""


class ForkService(Protocol):
    """What the monitor uses of the launcher."""

    def drain_events(self) -> None:
        """Handle pending fork reports, so that each pid is known."""

    async def run_helper(self, spec: ProcessSpec, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command in the agent's working directory and environment."""


class AgentMonitor:
    """Monitors one process, from `start` or `start_adopted` to `stop`.

    path: its notify socket. listeners: which process listens on which port. notify_batcher: reads the
    messages of ready agents.
    is_silent: it sent heartbeats, as each agent of the library does every 2 s, and has not for
    `SILENT_AFTER_S`. last_finding: the last finding of the probe before readiness. status: the last STATUS=
    text. fatal_error: that text, when the process exits because of its input or its code (ERRNO=EINVAL),
    so that every start fails alike.
    """

    def __init__(
        self,
        unit: MonitoredUnit,
        path: Path,
        log: Path,
        loop: asyncio.AbstractEventLoop,
        launcher: ForkService,
        listeners: PortOwners,
        notify_batcher: NotifyBatcher,
    ) -> None:
        self.last_finding = ""
        self.status = self.fatal_error = ""
        self.is_silent = False
        self._unit = unit
        self._path = path
        self._log = log
        self._log_start = 0
        self._loop = loop
        self._launcher = launcher
        self._listeners = listeners
        self._notify_batcher = notify_batcher
        self._socket: NotifySocket | None = None
        self._spec: ProcessSpec | None = None
        self._pid = 0
        self._is_ready = False
        self._health: str | None = None
        self._sends_heartbeats = False  # whether it repeats its health, so that silence means something
        self._last_reported_health: str | None = None
        self._last_message_at = 0.0  # loop time
        self._tasks: set[asyncio.Task[None]] = set()
        self._readiness_task: asyncio.Task[None] | None = None
        self._liveness_task: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._feeds_watchdog = False  # whether it has sent WATCHDOG=1
        self._watchdog_deadline = 0.0  # loop time

    def listen(self) -> None:
        """Bind the notify socket, once. Raises OSError: it cannot be bound."""
        if self._socket is None:
            self._socket = NotifySocket(self._path, self._loop, self._notify_batcher, self._on_notify)

    def start(self, spec: ProcessSpec, pid: int, log_start: int = 0) -> None:
        """Monitor a process that was just spawned; its output begins at `log_start`."""
        self._reset(spec, pid, log_start)
        if spec.probe.probe != "notify":
            self._start_readiness_probe(spec.probe, spec.probe_port)

    def start_adopted(self, spec: ProcessSpec, pid: int, log_start: int = 0, *, was_ready: bool) -> None:
        """Find out the state of a process that an earlier supervisor started."""
        self._reset(spec, pid, log_start)
        if was_ready:
            self._feed_watchdog(spec.watchdog_s)  # alive until it misses a heartbeat from now on
            self._start_liveness_probe()
        kind = spec.probe.probe
        if spec.is_sdk:
            # Its next heartbeat may be seconds away, but its port answers health at once.
            if spec.port is not None:
                self._start_readiness_probe(Probe(probe="zmq"), spec.port)
        elif was_ready and kind in ("notify", "alive", "log"):
            self._report_ready(None)
        elif kind != "notify":
            self._start_readiness_probe(spec.probe, spec.probe_port)
        elif spec.port is not None:
            # It may have sent READY, which is sent once, while no supervisor listened.
            self._start_readiness_probe(Probe(probe="tcp"), spec.port)

    def _reset(self, spec: ProcessSpec, pid: int, log_start: int) -> None:
        self.stop()
        self._spec, self._pid, self._log_start = spec, pid, log_start
        self.last_finding = "READY=1 never came" if spec.probe.probe == "notify" else ""
        self._is_ready, self._health = False, None
        self.status = self.fatal_error = ""
        self._sends_heartbeats, self._last_reported_health, self._feeds_watchdog = spec.is_sdk, None, False

    def _start_readiness_probe(self, probe: Probe, port: int | None) -> None:
        self._readiness_task = self._create_task(self._await_readiness(probe, port))

    def _create_task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _probe_target(self) -> ProbeTarget:
        assert self._spec is not None, "a process is expected"
        run_helper = partial(self._launcher.run_helper, self._spec)
        return ProbeTarget(
            self._spec.host, self._pid, self._log, self._log_start, run_helper, self._listeners
        )

    async def _await_readiness(self, probe: Probe, port: int | None) -> None:
        status = await wait_ready(probe, port, self._probe_target(), self._record_finding)
        self._readiness_task = None
        self._report_ready(status.value if probe.probe in ("zmq", "http", "tcp") else None)

    def _record_finding(self, description: str) -> None:
        self.last_finding = description

    def _start_liveness_probe(self) -> None:
        """Start the liveness probe, if it has one that does not run yet."""
        spec = self._spec
        if self._liveness_task is None and spec is not None and spec.liveness is not None:
            self._liveness_task = self._create_task(
                self._watch_liveness(spec.liveness, spec.liveness_schedule)
            )

    async def _watch_liveness(self, liveness: Probe, schedule: LivenessSchedule) -> None:
        reason = await watch_liveness(liveness, self._probe_target(), schedule, self._on_alive)
        self._unit.on_frozen(f"{reason} (pid {self._pid})")

    def _on_alive(self, status: Status) -> None:
        """Take over the answer's health; only the zmq probe uses the words of the health standard."""
        spec = self._spec
        if self._is_ready and spec is not None and spec.liveness is not None and spec.liveness.probe == "zmq":
            self._report_ready(status.value)

    def _on_notify(self, sender: int, fields: dict[str, str]) -> None:
        if sender != self._pid:
            self._launcher.drain_events()
        spec = self._spec
        if spec is None or (spec.probe.notify != "all" and sender != self._pid):
            return
        self._record_message(fields.get("X_ARGOSY_HEALTH"))
        if "STATUS" in fields or "READY" in fields:
            self.status = fields.get("STATUS", "")
        if fields.get("ERRNO") == _EINVAL:
            self.fatal_error = self.status
        # X_ARGOSY_OVER is the name that a cell of an earlier version sends.
        if "X_ARGOSY_FINISHED" in fields or "X_ARGOSY_OVER" in fields:
            self._unit.on_finished()
            return
        is_ready_message = fields.get("READY") == "1"
        self._feeds_watchdog = self._feeds_watchdog or "WATCHDOG" in fields
        if ("WATCHDOG" in fields) if self._is_ready else is_ready_message:
            self._feed_watchdog(spec.watchdog_s)
        if "STOPPING" in fields:
            return
        health = fields.get("X_ARGOSY_HEALTH")
        is_first_ready = is_ready_message and spec.probe.probe == "notify"
        if is_first_ready or (self._is_ready and (health is not None or is_ready_message)):
            self._report_ready(health or self._health or Status.OK.value)

    def _report_ready(self, health: str | None) -> None:
        if self._readiness_task is not None:
            self._readiness_task.cancel()  # its own report came first
            self._readiness_task = None
        self._start_liveness_probe()
        if self._socket is not None:
            self._socket.batch_reads()
        if self._feeds_watchdog and not self._is_ready:
            assert self._spec is not None, "a process is expected"
            self._feed_watchdog(self._spec.watchdog_s)  # not earlier: loading may block its loop
        self._is_ready, self._health = True, health
        self._last_message_at, self.is_silent = self._loop.time(), False
        self._unit.on_health(health)

    def _record_message(self, health: str | None) -> None:
        """Record a message; silence counts only for agents that repeat the same health."""
        self._last_message_at = self._loop.time()
        if health is not None:
            self._sends_heartbeats = self._sends_heartbeats or health == self._last_reported_health
            self._last_reported_health = health

    @property
    def silent_s(self) -> float | None:
        """How long it has been silent; None when it is not, or no heartbeat is expected."""
        return self._loop.time() - self._last_message_at if self.is_silent else None

    def has_fallen_silent(self, now: float, pause_s: float) -> bool:
        """Return whether it has become silent at loop time `now`.

        pause_s: how long nobody has checked, because the supervisor itself was stopped.
        """
        if self.is_silent or not self._is_heartbeat_expected():
            return False
        self._last_message_at = min(now, self._last_message_at + pause_s)
        if now - self._last_message_at < SILENT_AFTER_S:
            return False
        self.drain()
        self.is_silent = self._is_heartbeat_expected() and now - self._last_message_at >= SILENT_AFTER_S
        return self.is_silent

    def _is_heartbeat_expected(self) -> bool:
        return self._sends_heartbeats and self._is_ready and self._spec is not None

    def _feed_watchdog(self, watchdog_s: float | None) -> None:
        if watchdog_s:
            self._watchdog_deadline = self._loop.time() + watchdog_s
            if self._watchdog is None:  # else its timer checks the new deadline
                self._watchdog = self._loop.call_at(self._watchdog_deadline, self._on_watchdog_timer)

    def _on_watchdog_timer(self) -> None:
        """Handle the watchdog timer; after a stall of the supervisor, pending messages are read first."""
        expired = self._watchdog
        self.drain()
        if self._spec is None or self._watchdog is not expired:
            return  # another process is monitored now
        self._watchdog = None
        if self._loop.time() < self._watchdog_deadline:
            self._watchdog = self._loop.call_at(self._watchdog_deadline, self._on_watchdog_timer)
        else:
            self._unit.on_frozen(f"sent no heartbeat for {self._spec.watchdog_s:.1f} s (pid {self._pid})")

    def _stop_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def read_immediately(self) -> None:
        """Read each message at once from now on: the process is exiting."""
        if self._socket is not None:
            self._socket.read_immediately()

    def drain(self) -> None:
        """Process the messages that wait in the socket."""
        if self._socket is not None:
            self._socket.drain()

    def stop(self) -> None:
        """Stop monitoring the process; its later messages are dropped."""
        self._spec = None
        self._pid = 0
        self.is_silent = False
        self.read_immediately()
        self._stop_watchdog()
        self._readiness_task = self._liveness_task = None
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Stop, and remove the socket."""
        self.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
