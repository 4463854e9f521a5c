"""The signs of life of one agent: what its notify socket, its probe and its watchdog tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.agent.health import Status
from argosy.engine.notify import NotifySocket
from argosy.engine.probe import wait_ready
from argosy.fleet.spec import Probe

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from argosy.engine.plan import ProcessSpec


class Signs:
    """Listens to one agent, from `begin` or `recognise` of a process to `end`.

    hear_births(): called before a message of an unknown process is judged. on_ready(health): it is
    ready, again with each thing it says; health is its own word, None when it has none.
    on_frozen(): the watchdog ran out.
    """

    def __init__(
        self,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        hear_births: Callable[[], None],
        on_ready: Callable[[str | None], None],
        on_frozen: Callable[[], None],
    ) -> None:
        self._path = path
        self._loop = loop
        self._hear_births = hear_births
        self._on_ready = on_ready
        self._on_frozen = on_frozen
        self._socket: NotifySocket | None = None
        self._spec: ProcessSpec | None = None
        self._pid = 0
        self._is_ready = False
        self._health: str | None = None
        self._probe: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None

    def listen(self) -> None:
        """Bind the notify socket, once. Raises OSError: it cannot be bound."""
        if self._socket is None:
            self._socket = NotifySocket(self._path, self._loop, self._on_notify)

    def begin(self, spec: ProcessSpec, pid: int) -> None:
        """Wait for the signs of a process that was just born."""
        self._expect(spec, pid)
        if spec.probe.probe != "notify":
            self._ask(spec.probe, spec.probe_port)

    def recognise(self, spec: ProcessSpec, pid: int, *, was_ready: bool) -> None:
        """Find out how a process is that an earlier supervisor started; what says so once is believed."""
        self._expect(spec, pid)
        kind = spec.probe.probe
        if spec.is_sdk:
            # Its next beat may be seconds away, and it answers health on its port at once.
            if spec.port is not None:
                self._ask(Probe(probe="zmq"), spec.port)
        elif was_ready and kind in ("notify", "alive"):
            self._tell(None)
        elif kind != "notify":
            self._ask(spec.probe, spec.probe_port)
        elif spec.port is not None:
            # It may have said READY while nobody listened, and says it once.
            self._ask(Probe(probe="tcp"), spec.port)

    def _expect(self, spec: ProcessSpec, pid: int) -> None:
        self.end()
        self._spec, self._pid = spec, pid
        self._is_ready, self._health = False, None

    def _ask(self, probe: Probe, port: int | None) -> None:
        assert self._spec is not None, "a process is expected"
        self._probe = self._loop.create_task(self._await(probe, self._spec.host, port))

    async def _await(self, probe: Probe, host: str, port: int | None) -> None:
        status = await wait_ready(probe, host, port, self._pid)
        self._tell(None if probe.probe == "alive" else status.value)

    def _on_notify(self, sender: int, fields: dict[str, str]) -> None:
        if sender != self._pid:
            self._hear_births()
        spec = self._spec
        if spec is None or (spec.probe.notify != "all" and sender != self._pid):
            return
        says_ready = fields.get("READY") == "1"
        if "WATCHDOG" in fields or (says_ready and not self._is_ready):
            self._feed(spec.watchdog_s)
        if "STOPPING" in fields:
            return
        told = fields.get("X_ARGOSY_HEALTH")
        is_first_word = says_ready and spec.probe.probe == "notify"
        if is_first_word or (self._is_ready and (told is not None or says_ready)):
            self._tell(told or self._health or Status.OK.value)

    def _tell(self, health: str | None) -> None:
        self._is_ready, self._health = True, health
        self._on_ready(health)

    def _feed(self, watchdog_s: float | None) -> None:
        if watchdog_s:
            self._stop_watchdog()
            self._watchdog = self._loop.call_later(watchdog_s, self._ring)

    def _ring(self) -> None:
        """The watchdog ran out. After a stall of the supervisor itself, what waits is heard first."""
        self._watchdog = None
        self.hear()
        if self._watchdog is None:
            self._on_frozen()

    def _stop_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def hear(self) -> None:
        """Take what waits in the socket."""
        if self._socket is not None:
            self._socket.drain()

    def end(self) -> None:
        """Listen to that process no more; messages of it are dropped."""
        self._spec = None
        self._pid = 0
        self._stop_watchdog()
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None

    def close(self) -> None:
        """End, and remove the socket."""
        self.end()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
