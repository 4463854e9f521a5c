"""The life of one agent: construct, bind, start, serve, drain, stop, close.

Readiness is told when `start` has returned, and then with every beat. The beat comes from the
loop that does the work, so that a loop which hangs is silent.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import math
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from argosy.agent.agent import Agent
from argosy.agent.dispatch import Dispatcher
from argosy.agent.door import Door
from argosy.agent.events import Listener
from argosy.agent.handlers import Interval, handlers_of, marked
from argosy.agent.health import Figures, Health, Status, normal_status, payload, with_absent
from argosy.agent.needs import Needs
from argosy.agent.notify import Notifier
from argosy.agent.reporter import Reporter, hub_of
from argosy.agent.settings import Settings
from argosy.fault import ArgosyError
from argosy.wire.blocking import SyncPeer, connect, named_channel, named_peer
from argosy.wire.book import HUB
from argosy.wire.callee import Callee
from argosy.wire.channel import Channel
from argosy.wire.peer import Peer
from argosy.wire.reactor import LoopReactor
from argosy.wire.topic import Publisher
from argosy.wire.trace import trace_id

DRAIN_S: Final = 2.0

_log = logging.getLogger("argosy.agent")


class Life:
    """One agent in the running loop; several may share a process.

    It is also the agent's Host. failure: why it could not start, empty where it could.
    """

    def __init__(self, cls: type[Agent], settings: Settings, options: Any) -> None:
        self.name = settings.name
        self.options = options
        self._cls = cls
        self._settings = settings
        self._status = Status.STARTING
        self._since = time.time()
        self._born_s = time.monotonic()
        self._reported = Health()
        self._figures = Figures()
        self._needs = Needs()
        self._channels: dict[str, Channel] = {}
        self._sync_peers: dict[str, SyncPeer] = {}
        self._repeaters: list[asyncio.Task[None]] = []
        self._beat: asyncio.TimerHandle | None = None
        self._reporter: Reporter | None = None
        self._stop = asyncio.Event()
        self.failure = ""

    # -- what the agent gets ----------------------------------------------------------------

    def peer(self, name: str) -> Peer:
        """Return another agent; one channel per name."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = self._channel_to(name)
        return Peer(channel)

    def _channel_to(self, name: str) -> Channel:
        directory = self._settings.directory
        if directory is None or "://" in name:
            connect(name)  # raises where there is nothing to connect to
            return Channel(name, lambda: name, self._reactor, caller=self.name)
        directory.entry(name)
        return named_channel(name, directory, self._reactor, self.name, self._needs.teller(name))

    def connect(self, name: str) -> SyncPeer:
        """Return another agent for threads; one per name, with a lane per thread."""
        if name not in self._sync_peers:
            self._sync_peers[name] = self._sync_peer_to(name)
        return self._sync_peers[name]

    def _sync_peer_to(self, name: str) -> SyncPeer:
        directory = self._settings.directory
        if directory is None or "://" in name:
            return connect(name)
        directory.entry(name)
        return named_peer(name, directory, self.name, self._needs.teller(name))

    def publish(self, topic: str, value: object) -> int:
        """Publish under the trace of the current context."""
        return self._publisher.publish(topic, value, trace_id.get())

    def report(self, health: Health) -> None:
        """Take a change of status; told at once."""
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.report, health)
            return
        self._reported = health
        self._tell()

    def reported(self) -> Health:
        """Return what was last reported."""
        return self._reported

    # -- its life ---------------------------------------------------------------------------

    async def live(self, signals: Sequence[int] = (signal.SIGTERM, signal.SIGINT)) -> int:
        """Live until told to stop, by `end` or by one of `signals`; return the exit code.

        Raises RefusedError: an endpoint cannot be bound.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        for number in signals:
            self._loop.add_signal_handler(number, self.end)
        self._furnish()
        try:
            self._bind()
            return await self._serve()
        finally:
            self._close()

    def end(self) -> None:
        """Stop in order; before `live`, as soon as it begins."""
        self._stop.set()

    def _furnish(self) -> None:
        self._reactor = LoopReactor(self._loop)
        self._dispatcher = Dispatcher(self._loop, self._health_document)
        self._callee = Callee(self.name, self._reactor, self._dispatcher.deliver)
        self._publisher = Publisher(self.name, self._callee.incarnation, self._reactor)
        self._notifier = Notifier(self._settings.notify, self._settings.watchdog_s)
        self._listener: Listener | None = None
        self._door = Door(self._settings, self._reactor)

    def _bind(self) -> None:
        """Bind what anyone on this machine may use, then what the fleet's machines may."""
        self._door.bind(self._callee, self._settings.endpoints)
        self._dispatcher.port_of_topics = self._door.bind_topics(self._publisher)

    async def _serve(self) -> int:
        try:
            agent = self._construct()
        except Exception:
            return self._cannot_start("constructed")
        self._agent = agent
        self._beat_at = self._loop.time()
        self._on_beat()
        if not await self._start():
            return 0 if self._stop.is_set() else 1
        self._open()
        await self._stop.wait()
        await self._shut()
        return 0

    def _construct(self) -> Agent:
        agent = self._cls.__new__(self._cls)
        agent._host = self
        agent.__init__()  # type: ignore[misc]
        self._dispatcher.register(handlers_of(agent))
        self._listener = Listener(self._dispatcher, self._reactor, agent)
        return agent

    async def _start(self) -> bool:
        """Run the agent's start until it returns, raises, or the process is told to stop."""
        starting = self._loop.create_task(self._agent.start())
        told = self._loop.create_task(self._stop.wait())
        await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return False
        try:
            starting.result()
        except Exception:
            self._cannot_start("started")
            return False
        return True

    def _cannot_start(self, what: str) -> int:
        error = sys.exception()
        self.failure = f"could not be {what}: {type(error).__name__}: {error}"
        if isinstance(error, ArgosyError) and self.name.startswith(HUB):  # which explains itself
            sys.stderr.write(f"error: {error}\n")
            return 1
        sys.stderr.write(f"error: `{self.name}` could not be {what}\n")
        traceback.print_exc()
        return 1

    def _open(self) -> None:
        """Become ready: callers that wait are welcomed, events are taken, intervals run."""
        self._dispatcher.state = "ok"
        self._status = Status.OK
        self._since = time.time()
        self._callee.schema = functools.cache(self._dispatcher.schema)
        self._callee.open()
        if self._listener:
            self._listener.listen(self._settings)
        directory = self._settings.directory
        if directory and not self.name.startswith(HUB) and (hub := hub_of(directory.book)):
            self._repeaters.append(self._report_to(*hub))
        for name, mark in marked(self._cls, Interval):
            task = self._loop.create_task(self._repeat(getattr(self._agent, name), mark.seconds))
            self._repeaters.append(task)
        self._tell()

    async def _shut(self) -> None:
        """Refuse what is new, let what runs end, then stop the agent."""
        self._set_status(Status.STOPPING)
        self._dispatcher.state = "stopping"
        self._callee.refuse_new()
        self._notifier.stopping()
        for task in self._repeaters:
            task.cancel()
        try:
            self._agent.stopping()
            await self._dispatcher.drain(DRAIN_S, lambda: self._callee.in_flight)
            await self._agent.stop()
        except Exception:
            _log.exception("`%s` failed to stop in order", self.name)

    def _close(self) -> None:
        if self._beat:
            self._beat.cancel()
        if self._listener:
            self._listener.close()
        for channel in self._channels.values():
            channel.close()
        for peer in self._sync_peers.values():
            peer.close()
        self._publisher.close()
        self._door.close()
        self._callee.close()
        self._notifier.close()

    async def _repeat(self, method: Callable[[], Any], seconds: float) -> None:
        """Run a method at each multiple of its interval that it leaves free."""
        due_s = self._loop.time() + seconds
        while True:
            await asyncio.sleep(due_s - self._loop.time())
            trace_id.set("")
            try:
                if inspect.iscoroutinefunction(method):
                    await method()
                else:
                    own = contextvars.copy_context()
                    await self._loop.run_in_executor(self._dispatcher.pool, own.run, method)
            except Exception:
                _log.exception("`%s` of `%s` failed", getattr(method, "__name__", method), self.name)
            missed = max(0, math.floor((self._loop.time() - due_s) / seconds))
            due_s += (missed + 1) * seconds

    # -- health -----------------------------------------------------------------------------

    def _on_beat(self) -> None:
        """Tell that the work loop turns, and measure how late it turned."""
        self._figures.lag_s = self._callee.lag_s = max(0.0, self._loop.time() - self._beat_at)
        self._tell()
        self._publisher.beacon()
        if self._reporter is not None:
            self._reporter.look()
        self._beat_at = self._loop.time() + self._notifier.beat_s
        self._beat = self._loop.call_later(self._notifier.beat_s, self._on_beat)

    def _tell(self) -> None:
        health = self._own_health()
        ready = self._status not in (Status.STARTING, Status.STOPPING)
        self._notifier.beat(ready=ready, health=self._status.value, text=health.reason)

    def _own_health(self) -> Health:
        """Ask the agent, and keep the time of its last change; an error in it is a failing agent."""
        try:
            health = with_absent(self._agent.health())
        except Exception as error:
            health = Health(Status.FAILING, f"health() failed: {type(error).__name__}: {error}")
        if self._status not in (Status.STARTING, Status.STOPPING):
            self._set_status(normal_status(health.status))
        return health

    def _set_status(self, status: Status) -> None:
        if status != self._status:
            self._status = status
            self._since = time.time()
            self._callee.tell(status.value)

    async def _health_document(self) -> dict[str, Any]:
        document = self._document()
        document["in_flight"] -= 1  # the question itself
        return document

    def _report_to(self, hub: str, path: str) -> asyncio.Task[None]:
        life = f"{self._callee.incarnation:016x}"
        self._reporter = Reporter(self.name, life, path, lambda: self.peer(hub), self._document)
        self._reporter.look()
        return self._loop.create_task(self._reporter.run())

    def _document(self) -> dict[str, Any]:
        health = self._own_health()
        if self._status in (Status.STARTING, Status.STOPPING):
            health = msgspec.structs.replace(health, status=self._status)
        counts = self._callee.statistics()
        automatic = self._figures.facts(counts)
        if heard := self._listener and self._listener.statistics():
            automatic["missed_events"] = heard["missed"]
        edges = self._needs.of(self._settings.current_entry())
        uptime_s = time.monotonic() - self._born_s
        return payload(self.name, health, self._since, uptime_s, automatic, edges)
