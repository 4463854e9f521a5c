"""The signs of life of one agent: what its notify socket, its probes and its watchdog tell."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from argosy.agent.health import Status
from argosy.agent.notify import BEAT_S
from argosy.engine.notify import NotifySocket
from argosy.engine.probe import View, wait_ready
from argosy.engine.pulse import watch_pulse
from argosy.fleet.spec import Probe

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from pathlib import Path

    from argosy.engine.errand import Outcome
    from argosy.engine.hearing import Hearing
    from argosy.engine.listeners import Listeners
    from argosy.engine.plan import ProcessSpec, Rhythm

SILENT_AFTER_S: Final = 4 * BEAT_S


_WRONG_INPUT = str(errno.EINVAL)


class Signs:
    """Listens to one agent, from `begin` or `recognise` of a process to `end`.

    path: its notify socket. log: its output. run(command, seconds): runs a command beside it.
    listeners: who listens on which port. hearing: of agents that are ready.
    hear_births(): called before a message of an unknown process is judged. on_ready(health): it is
    ready, again with each thing it says; health is its own word, None when it has none.
    on_frozen(why): the watchdog ran out, or a liveness probe failed too often.
    on_over(): of an agent that shares its process, its part of it has ended.
    is_silent: it beat, as each agent of the library does every 2 s, and has not for `SILENT_AFTER_S`.
    found: what was seen of it last instead of readiness. status: what the process has said of itself
    last, in words (STATUS=). flaw: those words, when it ends by its input or its code (ERRNO=EINVAL), so that
    every start ends alike.
    """

    def __init__(
        self,
        path: Path,
        log: Path,
        loop: asyncio.AbstractEventLoop,
        run: Callable[[Sequence[str], float], Awaitable[Outcome]],
        listeners: Listeners,
        hearing: Hearing,
        hear_births: Callable[[], None],
        on_ready: Callable[[str | None], None],
        on_frozen: Callable[[str], None],
    ) -> None:
        self.found = ""
        self._path = path
        self._log = log
        self._log_start = 0
        self._run = run
        self._listeners = listeners
        self._hearing = hearing
        self._loop = loop
        self._hear_births = hear_births
        self._on_ready = on_ready
        self._on_frozen = on_frozen
        self._socket: NotifySocket | None = None
        self._spec: ProcessSpec | None = None
        self._pid = 0
        self.on_over: Callable[[], None] = lambda: None
        self.status = self.flaw = ""
        self.is_silent = False
        self._is_ready = False
        self._health: str | None = None
        self._beats = False  # whether it repeats its health, so that silence tells something
        self._last_told: str | None = None
        self._heard_at = 0.0  # loop time
        self._tasks: set[asyncio.Task[None]] = set()
        self._awaiting: asyncio.Task[None] | None = None
        self._pulse: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._feeds = False  # whether it has said WATCHDOG=1
        self._fed_until = 0.0  # loop time

    def listen(self) -> None:
        """Bind the notify socket, once. Raises OSError: it cannot be bound."""
        if self._socket is None:
            self._socket = NotifySocket(self._path, self._loop, self._hearing, self._on_notify)

    def begin(self, spec: ProcessSpec, pid: int, log_start: int = 0) -> None:
        """Wait for the signs of a process that was just born; its output begins at `log_start`."""
        self._expect(spec, pid, log_start)
        if spec.probe.probe != "notify":
            self._ask(spec.probe, spec.probe_port)

    def recognise(self, spec: ProcessSpec, pid: int, log_start: int = 0, *, was_ready: bool) -> None:
        """Find out how a process is that an earlier supervisor started; what says so once is believed."""
        self._expect(spec, pid, log_start)
        if was_ready:
            self._feed(spec.watchdog_s)  # it is alive until it has missed a beat from now on
            self._feel_pulse()
        kind = spec.probe.probe
        if spec.is_sdk:
            # Its next beat may be seconds away, and it answers health on its port at once.
            if spec.port is not None:
                self._ask(Probe(probe="zmq"), spec.port)
        elif was_ready and kind in ("notify", "alive", "log"):
            self._tell(None)
        elif kind != "notify":
            self._ask(spec.probe, spec.probe_port)
        elif spec.port is not None:
            # It may have said READY while nobody listened, and says it once.
            self._ask(Probe(probe="tcp"), spec.port)

    def _expect(self, spec: ProcessSpec, pid: int, log_start: int) -> None:
        self.end()
        self._spec, self._pid, self._log_start = spec, pid, log_start
        self.found = "READY=1 never came" if spec.probe.probe == "notify" else ""
        self._is_ready, self._health = False, None
        self.status = self.flaw = ""
        self._beats, self._last_told, self._feeds = spec.is_sdk, None, False

    def _ask(self, probe: Probe, port: int | None) -> None:
        self._awaiting = self._keep_task(self._await(probe, port))

    def _keep_task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _view(self) -> View:
        assert self._spec is not None, "a process is expected"
        return View(self._spec.host, self._pid, self._log, self._log_start, self._run, self._listeners)

    async def _await(self, probe: Probe, port: int | None) -> None:
        status = await wait_ready(probe, port, self._view(), self._note_found)
        self._awaiting = None
        self._tell(status.value if probe.probe in ("zmq", "http", "tcp") else None)

    def _note_found(self, words: str) -> None:
        self.found = words

    def _feel_pulse(self) -> None:
        """Ask on and on whether it lives, if it has a liveness probe and is not asked yet."""
        spec = self._spec
        if self._pulse is None and spec is not None and spec.liveness is not None:
            self._pulse = self._keep_task(self._watch(spec.liveness, spec.rhythm))

    async def _watch(self, liveness: Probe, rhythm: Rhythm) -> None:
        why = await watch_pulse(liveness, self._view(), rhythm, self._is_alive)
        self._on_frozen(f"{why} (pid {self._pid})")

    def _is_alive(self, status: Status) -> None:
        """Only an answer in the words of the health standard says how it is."""
        spec = self._spec
        if self._is_ready and spec is not None and spec.liveness is not None and spec.liveness.probe == "zmq":
            self._tell(status.value)

    def _on_notify(self, sender: int, fields: dict[str, str]) -> None:
        if sender != self._pid:
            self._hear_births()
        spec = self._spec
        if spec is None or (spec.probe.notify != "all" and sender != self._pid):
            return
        self._note_heard(fields.get("X_ARGOSY_HEALTH"))
        if "STATUS" in fields or "READY" in fields:
            self.status = fields.get("STATUS", "")
        if fields.get("ERRNO") == _WRONG_INPUT:
            self.flaw = self.status
        if "X_ARGOSY_OVER" in fields:
            self.on_over()
            return
        says_ready = fields.get("READY") == "1"
        self._feeds = self._feeds or "WATCHDOG" in fields
        if ("WATCHDOG" in fields) if self._is_ready else says_ready:
            self._feed(spec.watchdog_s)
        if "STOPPING" in fields:
            return
        told = fields.get("X_ARGOSY_HEALTH")
        is_first_word = says_ready and spec.probe.probe == "notify"
        if is_first_word or (self._is_ready and (told is not None or says_ready)):
            self._tell(told or self._health or Status.OK.value)

    def _tell(self, health: str | None) -> None:
        if self._awaiting is not None:
            self._awaiting.cancel()  # its own word has come first
            self._awaiting = None
        self._feel_pulse()
        if self._socket is not None:
            self._socket.settle()
        if self._feeds and not self._is_ready:
            assert self._spec is not None, "a process is expected"
            self._feed(self._spec.watchdog_s)  # not before: it may hold its loop while it loads
        self._is_ready, self._health = True, health
        self._heard_at, self.is_silent = self._loop.time(), False
        self._on_ready(health)

    def _note_heard(self, told: str | None) -> None:
        """It has said something; only who says the same health again and again is missed when it stops."""
        self._heard_at = self._loop.time()
        if told is not None:
            self._beats = self._beats or told == self._last_told
            self._last_told = told

    @property
    def silent_s(self) -> float | None:
        """How long it has been silent; None when it is not, or nobody expects it to speak."""
        return self._loop.time() - self._heard_at if self.is_silent else None

    def falls_silent(self, now: float, pause_s: float) -> bool:
        """Return whether it is silent at loop time `now`, and was not before.

        pause_s: for how long nobody has looked, since the supervisor itself was stopped.
        """
        if self.is_silent or not self._is_missed():
            return False
        self._heard_at = min(now, self._heard_at + pause_s)
        if now - self._heard_at < SILENT_AFTER_S:
            return False
        self.hear()
        self.is_silent = self._is_missed() and now - self._heard_at >= SILENT_AFTER_S
        return self.is_silent

    def _is_missed(self) -> bool:
        return self._beats and self._is_ready and self._spec is not None

    def _feed(self, watchdog_s: float | None) -> None:
        if watchdog_s:
            self._fed_until = self._loop.time() + watchdog_s
            if self._watchdog is None:  # else it looks for itself whether it was fed meanwhile
                self._watchdog = self._loop.call_at(self._fed_until, self._ring)

    def _ring(self) -> None:
        """The watchdog ran out. After a stall of the supervisor itself, what waits is heard first."""
        rung = self._watchdog
        self.hear()
        if self._spec is None or self._watchdog is not rung:
            return  # another process is listened to now
        self._watchdog = None
        if self._loop.time() < self._fed_until:
            self._watchdog = self._loop.call_at(self._fed_until, self._ring)
        else:
            self._on_frozen(f"gave no sign of life for {self._spec.watchdog_s:.1f} s (pid {self._pid})")

    def _stop_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def attend(self) -> None:
        """Hear it at once from now on: it is on its way out."""
        if self._socket is not None:
            self._socket.attend()

    def hear(self) -> None:
        """Take what waits in the socket."""
        if self._socket is not None:
            self._socket.drain()

    def end(self) -> None:
        """Listen to that process no more; messages of it are dropped."""
        self._spec = None
        self._pid = 0
        self.is_silent = False
        self.attend()
        self._stop_watchdog()
        self._awaiting = self._pulse = None
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """End, and remove the socket."""
        self.end()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
