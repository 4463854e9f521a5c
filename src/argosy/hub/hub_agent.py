"""The hub of a machine, as an agent: it is handed reports, and hands the other machines what it has."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from argosy.agent import Agent, request
from argosy.engine.cells.cell_logs import find_log_sources
from argosy.engine.logs.daemon_log import rotate_own_log
from argosy.engine.logs.log_reader import LogReader, find_tail_offset
from argosy.engine.state.event_log import read_event_log
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.engine.supervisor.hub_process import write_hub_record
from argosy.engine.supervisor.messages import FleetStatus
from argosy.fault import ArgosyError
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.fleet.loader import load_fleet
from argosy.hub.alerts.actions import ActionExecutor
from argosy.hub.alerts.alert_manager import AlertManager
from argosy.hub.background_tasks import BackgroundTasks
from argosy.hub.http.otlp import OtlpExporter, protobuf_encoder
from argosy.hub.http.sse import SseBroadcaster
from argosy.hub.ingest.current_state import AgentSnapshot, CurrentState
from argosy.hub.ingest.event_log_tail import EventLogTail
from argosy.hub.ingest.log_scanner import LogScanner
from argosy.hub.ingest.state_updater import StateUpdater
from argosy.hub.ingest.status_poller import StatusPoller
from argosy.hub.replication.replicator import Replicator, serve_batches
from argosy.hub.store.records import HubEvent, MetricSample
from argosy.hub.store.store_file import DECODE_ERRORS, is_damage
from argosy.hub.store.store_writer import DEFAULT_LIMITS, StoreWriter
from argosy.wire.address_book import HUB_PREFIX, AddressResolver, hub_name

if TYPE_CHECKING:
    from argosy.hub.http.http_server import HubHttpServer

_HEALTH_TIMEOUT_S = 0.9
_ROTATE_LOG_EVERY_S = 1.0
_EXPIRE_EVERY_S = 10.0
_ANNOUNCE_EVERY_S = 1.0
_Loaded = TypeVar("_Loaded")
_decode_samples = msgspec.msgpack.Decoder(list[MetricSample]).decode


class HubAgent(Agent):
    """One machine's hub. Its options name the fleet's address book, and where what it keeps goes."""

    class Options(msgspec.Struct, kw_only=True):
        """store: the file of the records. flush: seconds that what comes in may wait for the disk.

        state: the fleet's state folder, whose diary and supervisor are followed. port, bind: of the page; the
        next free port where it is taken; without `state` there is no page.
        """

        store: str
        book: str
        flush: float = 1.0
        fleet: str = ""
        lock: str = ""
        detail: float = DEFAULT_LIMITS.full_detail_s
        retention: float = DEFAULT_LIMITS.max_age_s
        page: int = 9470
        bind: str = "127.0.0.1"

    async def start(self) -> None:
        """Open the store and begin to pull; raises StoreError."""
        self.machine = self.name.removeprefix(HUB_PREFIX)
        self.started_s = time.time()
        self._directory = AddressResolver(self.options.book)
        self._machine_of: dict[str, str] = {}
        self._specs: dict[str, AgentSpec] = {}
        self._file_mtime_ns = 0
        self.fleet = self._directory.book.fleet
        self.environment = self._directory.book.environment
        bounds = DEFAULT_LIMITS._replace(max_age_s=self.options.retention, full_detail_s=self.options.detail)
        self.writer = StoreWriter(Path(self.options.store), self.machine, self.options.flush, bounds)
        self.current_state = CurrentState()
        self.sse_broadcaster = SseBroadcaster(self.current_state.as_documents)
        self.current_state.on_change = self.sse_broadcaster.publish
        hearing = self._state_updater = await self._load_or_recreate(
            lambda: self.writer.read(
                lambda reading: StateUpdater(self.current_state, reading, self._declared_machine)
            )
        )
        self.writer.on_recreated = self._on_recreated
        self.writer.on_appended = lambda events, figures: hearing.update(self.machine, events, figures)
        self.writer.on_replicated = hearing.update_from_batch
        peers = [each for each in self._directory.book.hubs if each != self.machine]
        self.replicators = {each: Replicator(self.writer, self.peer(hub_name(each)), each) for each in peers}
        self._tasks = BackgroundTasks()
        self._tasks.start("what forgets figures", self._expire_metrics)
        for machine, replicator in self.replicators.items():
            self._tasks.start(f"the puller of `{machine}`", replicator.run)
        self._server: HubHttpServer | None = None
        self._event_log_tail: EventLogTail | None = None
        if self.options.fleet:
            await self._follow_engine(locate_state_dir(Path(self.options.fleet)))

    async def _load_or_recreate(self, load: Callable[[], Awaitable[_Loaded]]) -> _Loaded:
        """Return what `look` makes of the records; where they make no sense to it, of a new store."""
        try:
            return await load()
        except DECODE_ERRORS as error:
            if isinstance(error, sqlite3.OperationalError) and not is_damage(error):
                raise
            await self.writer.recreate(error)
            return await load()

    async def _announce(self) -> None:
        """Say where the page is once there is room on the disk for it."""
        while self._server and not write_hub_record(Path(self.options.lock), self._server.url):
            await asyncio.sleep(_ANNOUNCE_EVERY_S)

    async def _expire_metrics(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRE_EVERY_S)
            self.current_state.expire_metrics()

    def _on_recreated(self) -> None:
        """Read the engine's diary again where no other hub has what it told, so that it is not lost."""
        if self._event_log_tail and not self.replicators:
            self._event_log_tail.read_again()

    async def _follow_engine(self, state_dir: StateDir) -> None:
        """Follow the engine, and serve the page."""
        from argosy.hub.http.http_server import HubHttpServer  # noqa: PLC0415 - its libraries are for it alone

        fleet = load_fleet(Path(self.options.fleet))
        self._apply_fleet(fleet)
        self.token_file = state_dir.hub_token
        self.action_executor = ActionExecutor(self.writer, state_dir)
        status_poller = StatusPoller(self.writer, state_dir, self._on_status, self.is_here)
        peer_statuses = [puller.status for puller in self.replicators.values()]
        event_log = await asyncio.to_thread(lambda: list(read_event_log(state_dir.event_log)))

        async def start_alerting() -> AlertManager:
            alert_manager = AlertManager(
                self.writer, self.machine, fleet, peer_statuses, self.action_executor, event_log
            )
            self._state_updater.on_action = alert_manager.on_action
            await alert_manager.restore()
            return alert_manager

        self.alert_manager = await self._load_or_recreate(start_alerting)
        update_state = self.writer.on_appended

        def on_appended(events: Sequence[HubEvent], samples: Sequence[MetricSample]) -> None:
            update_state(events, samples)
            self.alert_manager.update(events, samples)
            if any(event.kind == "apply-summary" for event in events):
                self._reload_fleet()

        self.writer.on_appended = on_appended
        self._server = HubHttpServer(self, self.options.bind, self.options.page)
        if self.options.lock and not write_hub_record(Path(self.options.lock), self._server.url):
            self._tasks.start("what says where the hub is", self._announce)
        event_log_tail = self._event_log_tail = EventLogTail(self.writer, state_dir.event_log)
        log_scanner = LogScanner(self.writer, state_dir)
        self._tasks.start("the news", event_log_tail.run)
        self._tasks.start("the outcry", log_scanner.run)
        self._tasks.start("the census", status_poller.run)
        self._tasks.start("the watch", self.alert_manager.run)
        self._tasks.start("the page", self._server.run)
        self._tasks.start("the log", lambda: _rotate_log(state_dir.hub_log))
        self._start_external(fleet)

    def _start_external(self, fleet: Fleet) -> None:
        """Begin what deals with those who know nothing of argosy: scripts that are scraped, a receiver."""
        if fleet.hub.scrape:
            from argosy.hub.ingest.scraper import Scraper  # noqa: PLC0415 - its library is for it alone

            for scrape in fleet.hub.scrape:
                spec = fleet.agents.get(scrape.agent)
                if self.is_here(spec.machine if spec else None):
                    scraper = Scraper(self.writer, scrape)
                    self._tasks.start(f"the scraper of {scrape.url} of `{scrape.agent}`", scraper.run)
        if fleet.hub.otlp:
            export = OtlpExporter(fleet.hub.otlp, fleet.name, self._local_agents, protobuf_encoder())
            self._tasks.start("the export", export.run)

    def _local_agents(self) -> list[AgentSnapshot]:
        return [each for each in self.current_state.agents.values() if self.is_here(each.machine)]

    def _on_status(self, report: FleetStatus | None) -> None:
        for name, agent in (report.agents if report else {}).items():
            self._machine_of[name] = machine = agent.machine or self.machine
            state, since_s = agent.state.value, agent.since_s
            silent_since = None if agent.silent_s is None else time.time() - agent.silent_s
            self.current_state.reconcile(machine, name, state, since_s, agent.reason, agent.pid, silent_since)
            if self.is_here(agent.machine):  # each machine's hub alerts for its own
                self.alert_manager.evaluator.update_state(name, state, agent.reason, since_s)
        if report:
            self.alert_manager.mark_status_received()

    def _apply_fleet(self, fleet: Fleet) -> None:
        """Go by this fleet from now on."""
        self._fleet = fleet
        self.action_policy = fleet.hub.actions
        self.writer.cardinality_limit.max_names = fleet.hub.max_metrics
        self.is_metrics_guarded = fleet.hub.token == "all"
        addresses = {entry.host for entry in self._directory.book.agents.values()}
        self._host_names = frozenset((*fleet.hub.hosts, *fleet.machines, *addresses))

    def _reload_fleet(self) -> None:
        """Take the fleet file as it was just applied; one that has a fault by now changes nothing."""
        with contextlib.suppress(ArgosyError, OSError):
            fleet = load_fleet(Path(self.options.fleet))
            self._apply_fleet(fleet)
            self.alert_manager.configure(fleet)

    def host_names(self) -> frozenset[str]:
        """Return the names by which browsers may call the page."""
        return self._host_names

    def is_here(self, machine: str | None) -> bool:
        """Return whether a machine is this one."""
        return machine is None or machine in self._directory.book.machines

    def machines(self) -> frozenset[str]:
        """Return the names of the fleet's machines."""
        book = self._directory.book
        declared_machines = (spec.machine for spec in self.declared_agents().values() if spec.machine)
        return frozenset((*self._fleet.machines, *book.hubs, *book.machines, *declared_machines))

    def declared_hardware(self) -> dict[str, Any]:
        """Return what the fleet file says of each machine."""
        return {
            name: {"gpu": spec.gpu, "gpu_memory": spec.gpu_memory, "labels": spec.labels}
            for name, spec in self._fleet.machines.items()
        }

    async def health_of(self, agent: str) -> Any:
        """Return what an agent answers to a question for its health.

        Raises WireError: it does not answer; InputError: it is not in the address book.
        """
        return await self.peer(agent).call("health", timeout=_HEALTH_TIMEOUT_S)

    def declared_agents(self) -> dict[str, AgentSpec]:
        """Return the agents as the fleet file has them now; those it had last when it has a fault."""
        path = Path(self.options.fleet)
        with contextlib.suppress(ArgosyError, OSError):
            if (changed := path.stat().st_mtime_ns) != self._file_mtime_ns:
                self._specs, self._file_mtime_ns = load_fleet(path).agents, changed
        return self._specs

    def last_lines(self, agent: str, limit: int) -> list[str]:
        """Return what an agent of this machine printed last."""
        sources = find_log_sources(locate_state_dir(Path(self.options.fleet)))
        found = []
        for name, log in sources.logs_of(agent).items():
            reader = LogReader(name, log, find_tail_offset(log, limit))
            try:
                found += [line.text for line in sources.read(reader, [agent]) if line.text]
            finally:
                reader.close()
        return found[-limit:]

    def machine_of(self, agent: str) -> str | None:
        """Return the machine that an agent is on, None where nobody knows it."""
        return self._declared_machine(agent)

    def _declared_machine(self, agent: str) -> str | None:
        """Return where an agent is declared; the book, which asks the disk, is for other machines' agents."""
        if home := self._machine_of.get(agent):
            return home
        entry = self._directory.book.agents.get(agent)
        return entry.machine if entry else None

    def failure(self) -> str:
        """Return why nothing can be kept, and what ended by an error not long ago; empty if all is well."""
        failures = self.writer.failure, self._tasks.failure(), self.alert_manager.tasks.failure()
        return "; ".join(filter(None, failures))

    def stopping(self) -> None:
        """Acknowledge at once what has come, and leave nobody waiting for more."""
        self.sse_broadcaster.end()
        self.writer.flush_now()

    async def stop(self) -> None:
        """Write what waits, and close the store."""
        if self._server:
            await self._server.stop()
        await self._tasks.cancel()
        await self.writer.close()

    @request
    async def pull_records(self, positions: bytes, wait_s: float) -> AsyncIterator[bytes]:
        """Answer another hub: what follows its positions, as `answer` lays it out."""
        async for part in serve_batches(self.writer, positions, wait_s):
            yield part

    @request
    async def submit_samples(
        self, agent: str, incarnation: str, sequence: int, samples: bytes, dropped: int = 0
    ) -> int:
        """Keep an agent's figures, each once, and return the number that is on the disk by now.

        life: the agent's incarnation; number: of the last of `figures` in that life, counted from 1; dropped:
        how many it had to drop before these, for which a gap is told.
        """
        submitted = _decode_samples(samples)
        if any(len(each.values) != 8 * len(each.names) for each in submitted):
            raise ValueError(f"`{agent}` reports figures whose values are not eight bytes for each name")
        known_incarnation, acknowledged = self.writer.source_position(agent)
        missed = sequence - len(submitted) - (acknowledged if known_incarnation == incarnation else 0)
        new, last = self._unacknowledged(agent, incarnation, sequence, submitted)
        # What it dropped while it waited for an answer may have come for all that.
        gap_events = _gap_events(agent, min(dropped, missed)) if min(dropped, missed) > 0 and new else []
        await self.writer.append(gap_events, new, (agent, incarnation, last))
        return last

    @request
    async def submit_events(
        self, events: list[HubEvent], source: str, incarnation: str, sequence: int
    ) -> int:
        """Keep events of one source, each once, and return the number that is on the disk by now.

        number: of the last of them in the source's life, counted from 1.
        """
        new, last = self._unacknowledged(source, incarnation, sequence, events)
        await self.writer.append(new, (), (source, incarnation, last))
        return last

    def _unacknowledged(
        self, source: str, incarnation: str, sequence: int, submitted: list[_Loaded]
    ) -> tuple[list[_Loaded], int]:
        """Return what of a hand-in is new, and the number up to which its source has been heard with it."""
        known_incarnation, acknowledged = self.writer.source_position(source)
        if known_incarnation != incarnation:
            acknowledged = 0
        new = (
            submitted[max(0, acknowledged - (sequence - len(submitted))) :] if acknowledged < sequence else []
        )
        return new, max(acknowledged, sequence)

    @request
    async def peer_statuses(self) -> dict[str, Any]:
        """Return what is seen of the other machines' hubs."""
        return {machine: msgspec.to_builtins(puller.status) for machine, puller in self.replicators.items()}


async def _rotate_log(log: Path) -> None:
    """Keep this process's own log short."""
    while True:
        await asyncio.sleep(_ROTATE_LOG_EVERY_S)
        rotate_own_log(log)


def _gap_events(agent: str, dropped: int) -> list[HubEvent]:
    return [HubEvent(int(time.time() * 1000), "gap", agent, {"dropped": dropped})]
