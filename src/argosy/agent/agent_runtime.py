"""Runs one agent: construct, bind, start, serve, drain, stop, close.

Readiness is reported when `start` has returned, and again with every heartbeat. The heartbeat comes from
the loop that does the work, so that a blocked loop sends none.
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
from argosy.agent.endpoint_binder import EndpointBinder
from argosy.agent.event_subscriber import EventSubscriber
from argosy.agent.handlers import IntervalMark, find_handlers, marked_methods
from argosy.agent.health import (
    DependencyHealth,
    Health,
    Status,
    health_document,
    metric_facts,
    normalize_status,
    with_missing_packages,
)
from argosy.agent.metrics_reporter import MetricsReporter, local_hub
from argosy.agent.notifier import Notifier
from argosy.agent.request_dispatcher import RequestDispatcher
from argosy.agent.settings import Settings
from argosy.fault import ArgosyError
from argosy.wire.address_book import HUB_PREFIX
from argosy.wire.client.channel import Channel
from argosy.wire.client.peer import Peer
from argosy.wire.client.sync_peer import SyncPeer, connect, named_channel, named_peer
from argosy.wire.pubsub.topic import Publisher
from argosy.wire.server.agent_status import AgentStatus
from argosy.wire.server.rpc_server import RpcServer
from argosy.wire.trace import trace_id
from argosy.wire.transport.reactor import LoopReactor

DRAIN_TIMEOUT_S: Final = 2.0

_log = logging.getLogger("argosy.agent")


class AgentRuntime:
    """One agent in the running loop; several may share a process.

    It is also the agent's AgentHost. start_failure: why it could not start, empty otherwise.
    """

    def __init__(self, cls: type[Agent], settings: Settings, options: Any) -> None:
        self.name = settings.name
        self.options = options
        self._cls = cls
        self._settings = settings
        self._status = AgentStatus()
        self._started_s = time.monotonic()
        self._reported = Health()
        self._dependency_health = DependencyHealth()
        self._channels: dict[str, Channel] = {}
        self._sync_peers: dict[str, SyncPeer] = {}
        self._interval_tasks: list[asyncio.Task[None]] = []
        self._heartbeat_timer: asyncio.TimerHandle | None = None
        self._reporter: MetricsReporter | None = None
        self._stop = asyncio.Event()
        self.start_failure = ""

    # -- AgentHost -----------------------------------------------------------------------------

    def peer(self, name: str) -> Peer:
        """Return another agent; one channel per name."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = self._channel_to(name)
        return Peer(channel)

    def _channel_to(self, name: str) -> Channel:
        resolver = self._settings.resolver
        if resolver is None or "://" in name:
            connect(name)  # raises if there is no such agent
            return Channel(name, lambda: name, self._reactor, client_name=self.name)
        resolver.address(name)
        return named_channel(name, resolver, self._reactor, self.name, self._dependency_health.observer(name))

    def connect(self, name: str) -> SyncPeer:
        """Return another agent for threads; one per name, with a connection per thread."""
        if name not in self._sync_peers:
            self._sync_peers[name] = self._sync_peer_to(name)
        return self._sync_peers[name]

    def _sync_peer_to(self, name: str) -> SyncPeer:
        resolver = self._settings.resolver
        if resolver is None or "://" in name:
            return connect(name)
        resolver.address(name)
        return named_peer(name, resolver, self.name, self._dependency_health.observer(name))

    def publish(self, topic: str, value: object) -> int:
        """Publish under the trace of the current context."""
        return self._publisher.publish(topic, value, trace_id.get())

    def report(self, health: Health) -> None:
        """Set the status and report it at once."""
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.report, health)
            return
        self._reported = health
        self._notify_health()

    def last_reported(self) -> Health:
        """Return what was last reported."""
        return self._reported

    # -- lifecycle -----------------------------------------------------------------------------

    async def run(self, signals: Sequence[int] = (signal.SIGTERM, signal.SIGINT)) -> int:
        """Run until stopped, by `request_stop` or by one of `signals`; return the exit code.

        Raises RefusedError: an endpoint cannot be bound.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        for number in signals:
            self._loop.add_signal_handler(number, self.request_stop)
        self._setup()
        try:
            self._bind()
            return await self._serve()
        finally:
            self._close()

    def request_stop(self) -> None:
        """Stop in order; before `run`, as soon as it begins."""
        self._stop.set()

    def _setup(self) -> None:
        self._reactor = LoopReactor(self._loop)
        self._dispatcher = RequestDispatcher(self._loop, self._answer_health, self._status)
        self._server = RpcServer(self.name, self._reactor, self._dispatcher.dispatch, status=self._status)
        self._publisher = Publisher(self.name, self._server.incarnation, self._reactor)
        self._notifier = Notifier(self._settings.notify, self._settings.watchdog_s)
        self._event_subscriber: EventSubscriber | None = None
        self._binder = EndpointBinder(self._settings, self._reactor)

    def _bind(self) -> None:
        """Bind the endpoints of this machine, then those for the fleet's other machines."""
        self._binder.bind(self._server, self._settings.endpoints)
        self._dispatcher.topics_port = self._binder.bind_topics(self._publisher)

    async def _serve(self) -> int:
        try:
            agent = self._construct()
        except Exception:
            return self._report_start_failure("constructed")
        self._agent = agent
        self._heartbeat_due_s = self._loop.time()
        self._on_heartbeat()
        if not await self._start():
            return 0 if self._stop.is_set() else 1
        self._become_ready()
        await self._stop.wait()
        await self._drain_and_stop()
        return 0

    def _construct(self) -> Agent:
        agent = self._cls.__new__(self._cls)
        agent._host = self
        agent.__init__()  # type: ignore[misc]
        self._dispatcher.register(find_handlers(agent))
        self._event_subscriber = EventSubscriber(self._dispatcher, self._reactor, agent)
        return agent

    async def _start(self) -> bool:
        """Run the agent's start until it returns, raises, or the process is told to stop."""
        starting = self._loop.create_task(self._agent.start())
        stop_waiter = self._loop.create_task(self._stop.wait())
        await asyncio.wait((starting, stop_waiter), return_when=asyncio.FIRST_COMPLETED)
        stop_waiter.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return False
        try:
            starting.result()
        except Exception:
            self._report_start_failure("started")
            return False
        return True

    def _report_start_failure(self, phase: str) -> int:
        error = sys.exception()
        self.start_failure = f"could not be {phase}: {type(error).__name__}: {error}"
        if isinstance(error, ArgosyError) and self.name.startswith(HUB_PREFIX):  # its message is enough
            sys.stderr.write(f"error: {error}\n")
            return 1
        sys.stderr.write(f"error: `{self.name}` could not be {phase}\n")
        traceback.print_exc()
        return 1

    def _become_ready(self) -> None:
        """Become ready: welcome waiting clients, receive events, start intervals."""
        self._server.schema_hash = functools.cache(self._dispatcher.schema_hash)
        self._server.open()
        if self._event_subscriber:
            self._event_subscriber.subscribe(self._settings)
        resolver = self._settings.resolver
        if resolver and not self.name.startswith(HUB_PREFIX) and (hub := local_hub(resolver.book)):
            self._interval_tasks.append(self._start_reporting(*hub))
        for name, mark in marked_methods(self._cls, IntervalMark):
            task = self._loop.create_task(self._run_interval(getattr(self._agent, name), mark.seconds))
            self._interval_tasks.append(task)
        self._notify_health()

    async def _drain_and_stop(self) -> None:
        """Refuse new requests, let running handlers end, then stop the agent."""
        self._status.stop()
        self._status.set_health(Status.STOPPING)
        self._notifier.send_stopping()
        for task in self._interval_tasks:
            task.cancel()
        try:
            self._agent.stopping()
            await self._dispatcher.drain(DRAIN_TIMEOUT_S, lambda: self._server.in_flight)
            await self._agent.stop()
        except Exception:
            _log.exception("`%s` failed to stop in order", self.name)

    def _close(self) -> None:
        if self._heartbeat_timer:
            self._heartbeat_timer.cancel()
        if self._event_subscriber:
            self._event_subscriber.close()
        for channel in self._channels.values():
            channel.close()
        for peer in self._sync_peers.values():
            peer.close()
        self._publisher.close()
        self._binder.close()
        self._server.close()
        self._notifier.close()

    async def _run_interval(self, method: Callable[[], Any], seconds: float) -> None:
        """Run a method at each multiple of its interval, skipping those that a run overlaps."""
        due_s = self._loop.time() + seconds
        while True:
            await asyncio.sleep(due_s - self._loop.time())
            trace_id.set("")
            try:
                if inspect.iscoroutinefunction(method):
                    await method()
                else:
                    context = contextvars.copy_context()
                    await self._loop.run_in_executor(self._dispatcher.pool, context.run, method)
            except Exception:
                _log.exception("`%s` of `%s` failed", getattr(method, "__name__", method), self.name)
            missed = max(0, math.floor((self._loop.time() - due_s) / seconds))
            due_s += (missed + 1) * seconds

    # -- health -----------------------------------------------------------------------------

    def _on_heartbeat(self) -> None:
        """Send a heartbeat, and measure the loop's lag."""
        self._status.lag_s = max(0.0, self._loop.time() - self._heartbeat_due_s)
        self._notify_health()
        self._publisher.beacon()
        if self._reporter is not None:
            self._reporter.check_for_hub()
        self._heartbeat_due_s = self._loop.time() + self._notifier.heartbeat_s
        self._heartbeat_timer = self._loop.call_later(self._notifier.heartbeat_s, self._on_heartbeat)

    def _notify_health(self) -> None:
        health = self._read_health()
        status = self._status
        self._notifier.send_heartbeat(ready=not status.refusal, health=status.health, text=health.reason)

    def _read_health(self) -> Health:
        """Return the agent's health, and record when it last changed; an exception in it is *failing*."""
        try:
            health = with_missing_packages(self._agent.health())
        except Exception as error:
            health = Health(Status.FAILING, f"health() failed: {type(error).__name__}: {error}")
        if not self._status.refusal:
            self._status.set_health(normalize_status(health.status))
        return health

    async def _answer_health(self) -> dict[str, Any]:
        document = self._health_document()
        document["in_flight"] -= 1  # this request itself
        return document

    def _start_reporting(self, hub: str, path: str) -> asyncio.Task[None]:
        incarnation = f"{self._server.incarnation:016x}"
        self._reporter = MetricsReporter(
            self.name, incarnation, path, lambda: self.peer(hub), self._health_document
        )
        self._reporter.check_for_hub()
        return self._loop.create_task(self._reporter.run())

    def _health_document(self) -> dict[str, Any]:
        health = self._read_health()
        if self._status.refusal:
            health = msgspec.structs.replace(health, status=self._status.health)
        metrics = metric_facts(self._server.statistics(), self._status.lag_s)
        if event_counts := self._event_subscriber and self._event_subscriber.statistics():
            metrics["missed_events"] = event_counts["missed"]
        dependencies = self._dependency_health.by_kind(self._settings.current_address())
        uptime_s = time.monotonic() - self._started_s
        return health_document(self.name, health, self._status.since, uptime_s, metrics, dependencies)
