"""The hub of one machine, as an agent: collects records and replicates them to the other hubs."""

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
from argosy.engine.logs.log_file import rotate_own_log
from argosy.engine.logs.log_reader import LogReader, find_tail_offset
from argosy.engine.protocol.messages import FleetStatus
from argosy.engine.state.event_log import read_event_log
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.engine.supervisor.hub_process import write_hub_record
from argosy.fault import ArgosyError
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.fleet.loader import load_fleet
from argosy.hub.alerts.actions import ActionExecutor
from argosy.hub.alerts.alert_manager import AlertManager
from argosy.hub.background_tasks import BackgroundTasks
from argosy.hub.http.otlp import OtlpExporter, protobuf_encoder
from argosy.hub.http.sse import SseBroadcaster
from argosy.hub.ingest.current_state import AgentSnapshot, CurrentState, StateUpdater
from argosy.hub.ingest.event_log_tail import EventLogTail
from argosy.hub.ingest.log_scanner import LogScanner
from argosy.hub.ingest.status_poller import StatusPoller
from argosy.hub.replication.replicator import Replicator, serve_batches
from argosy.hub.store.records import HubEvent, MetricSample, RecordBatch
from argosy.hub.store.store_file import DECODE_ERRORS, is_damage
from argosy.hub.store.store_reader import StoreReader
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
    """One machine's hub."""

    class Options(msgspec.Struct, kw_only=True):
        """Where the hub reads and writes.

        store: the record file. book: the fleet's address book. flush: the longest time in seconds that new
        records wait to be written. fleet: the fleet file, whose event log and supervisor are followed;
        without it there is no page. lock: the file that publishes the page's URL. detail, retention: seconds
        after which metrics are downsampled, and after which records are dropped. page, bind: port and address
        of the page; a port in use is replaced by the next free one.
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
        """Open the store and start replication; raises StoreError."""
        self.machine = self.name.removeprefix(HUB_PREFIX)
        self.started_s = time.time()
        self._directory = AddressResolver(self.options.book)
        self._machine_of: dict[str, str] = {}
        self._specs: dict[str, AgentSpec] = {}
        self._file_mtime_ns = 0
        self.fleet = self._directory.book.fleet
        self.environment = self._directory.book.environment
        bounds = DEFAULT_LIMITS._replace(max_age_s=self.options.retention, full_detail_s=self.options.detail)
        self._state_updater: StateUpdater | None = None
        self._receives_actions = False  # whether the alert manager gets actions, also while it is restored
        self._is_alerting = False  # whether it gets all records
        self._event_log_tail: EventLogTail | None = None
        self.writer = StoreWriter(
            Path(self.options.store),
            self.machine,
            self.options.flush,
            bounds,
            self._on_appended,
            self._on_replicated,
            self._on_recreated,
        )
        self.sse_broadcaster = SseBroadcaster(lambda: self.current_state.as_documents())
        self.current_state = CurrentState(self.sse_broadcaster.publish)
        self._state_updater = await self._load_or_recreate(lambda: self.writer.read(self._make_state_updater))
        peers = [each for each in self._directory.book.hubs if each != self.machine]
        self.replicators = {each: Replicator(self.writer, self.peer(hub_name(each)), each) for each in peers}
        self._tasks = BackgroundTasks()
        self._tasks.start("metric expiry", self._expire_metrics)
        for machine, replicator in self.replicators.items():
            self._tasks.start(f"replication from `{machine}`", replicator.run)
        self._server: HubHttpServer | None = None
        if self.options.fleet:
            await self._follow_engine(locate_state_dir(Path(self.options.fleet)))

    def _make_state_updater(self, reader: StoreReader) -> StateUpdater:
        return StateUpdater(self.current_state, reader, self.machine_of, self._on_action)

    def _on_appended(self, events: Sequence[HubEvent], samples: Sequence[MetricSample]) -> None:
        if self._state_updater:
            self._state_updater.update(self.machine, events, samples)
        if self._is_alerting:
            self.alert_manager.update(events, samples)
            if any(event.kind == "apply-summary" for event in events):
                self._reload_fleet()

    def _on_replicated(self, batch: RecordBatch) -> None:
        if self._state_updater:
            self._state_updater.update_from_batch(batch)

    def _on_action(self, machine: str, event: HubEvent) -> None:
        if self._receives_actions:
            self.alert_manager.on_action(machine, event)

    def _on_recreated(self) -> None:
        """Read the event log again if no other hub has a copy of its events."""
        if self._event_log_tail and not self.replicators:
            self._event_log_tail.read_again()

    async def _load_or_recreate(self, load: Callable[[], Awaitable[_Loaded]]) -> _Loaded:
        """Return the result of `load`; if the store is damaged, recreate it and load again."""
        try:
            return await load()
        except DECODE_ERRORS as error:
            if isinstance(error, sqlite3.OperationalError) and not is_damage(error):
                raise
            await self.writer.recreate(error)
            return await load()

    async def _announce(self) -> None:
        """Publish the page's URL, retrying until the disk has space for it."""
        while self._server and not write_hub_record(Path(self.options.lock), self._server.url):
            await asyncio.sleep(_ANNOUNCE_EVERY_S)

    async def _expire_metrics(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRE_EVERY_S)
            self.current_state.expire_metrics()

    async def _follow_engine(self, state_dir: StateDir) -> None:
        """Follow the supervisor and its event log, and serve the page."""
        from argosy.hub.http.http_server import HubHttpServer  # noqa: PLC0415 - needs uvicorn and starlette

        fleet = load_fleet(Path(self.options.fleet))
        self._apply_fleet(fleet)
        self.token_file = state_dir.hub_token
        self.action_executor = ActionExecutor(self.writer, state_dir)
        status_poller = StatusPoller(self.writer, state_dir, self._on_status, self.is_here)
        peer_statuses = [each.status for each in self.replicators.values()]
        event_log = await asyncio.to_thread(lambda: list(read_event_log(state_dir.event_log)))

        async def start_alerting() -> None:
            self.alert_manager = AlertManager(
                self.writer, self.machine, fleet, peer_statuses, self.action_executor, event_log
            )
            self._receives_actions = True
            await self.alert_manager.restore()

        await self._load_or_recreate(start_alerting)
        self._is_alerting = True
        self._server = HubHttpServer(self, self.options.bind, self.options.page)
        if self.options.lock and not write_hub_record(Path(self.options.lock), self._server.url):
            self._tasks.start("hub announcement", self._announce)
        event_log_tail = self._event_log_tail = EventLogTail(self.writer, state_dir.event_log)
        log_scanner = LogScanner(self.writer, state_dir)
        self._tasks.start("event log tail", event_log_tail.run)
        self._tasks.start("log scanner", log_scanner.run)
        self._tasks.start("status poller", status_poller.run)
        self._tasks.start("alert manager", self.alert_manager.run)
        self._tasks.start("HTTP server", self._server.run)
        self._tasks.start("log rotation", lambda: _rotate_log(state_dir.hub_log))
        self._start_external(fleet)

    def _start_external(self, fleet: Fleet) -> None:
        """Start the scrapers and the OTLP export."""
        if fleet.hub.scrape:
            from argosy.hub.ingest.scraper import Scraper  # noqa: PLC0415 - needs prometheus_client

            for scrape in fleet.hub.scrape:
                spec = fleet.agents.get(scrape.agent)
                if self.is_here(spec.machine if spec else None):
                    scraper = Scraper(self.writer, scrape)
                    self._tasks.start(f"scrape of {scrape.url} for `{scrape.agent}`", scraper.run)
        if fleet.hub.otlp:
            export = OtlpExporter(fleet.hub.otlp, fleet.name, self._local_agents, protobuf_encoder())
            self._tasks.start("OTLP export", export.run)

    def _local_agents(self) -> list[AgentSnapshot]:
        return [each for each in self.current_state.agents.values() if self.is_here(each.machine)]

    def _on_status(self, report: FleetStatus | None) -> None:
        for name, agent in (report.agents if report else {}).items():
            self._machine_of[name] = machine = agent.machine or self.machine
            state, since_s = agent.state.value, agent.since_s
            silent_since = None if agent.silent_s is None else time.time() - agent.silent_s
            self.current_state.reconcile(machine, name, state, since_s, agent.reason, agent.pid, silent_since)
            if self.is_here(agent.machine):  # alerts of other machines are raised by their hubs
                self.alert_manager.evaluator.update_state(name, state, agent.reason, since_s)
        if report:
            self.alert_manager.mark_status_received()

    def _apply_fleet(self, fleet: Fleet) -> None:
        """Apply the settings of a fleet file."""
        self._fleet = fleet
        self.action_policy = fleet.hub.actions
        self.writer.cardinality_limit.max_names = fleet.hub.max_metrics
        self.is_metrics_guarded = fleet.hub.token == "all"
        addresses = {entry.host for entry in self._directory.book.agents.values()}
        self._host_names = frozenset((*fleet.hub.hosts, *fleet.machines, *addresses))

    def _reload_fleet(self) -> None:
        """Load the fleet file that was just applied; keep the current settings if it is invalid."""
        with contextlib.suppress(ArgosyError, OSError):
            fleet = load_fleet(Path(self.options.fleet))
            self._apply_fleet(fleet)
            self.alert_manager.configure(fleet)

    def host_names(self) -> frozenset[str]:
        """Return the host names that requests may use."""
        return self._host_names

    def is_here(self, machine: str | None) -> bool:
        """Return whether `machine` is this machine; None means this machine."""
        return machine is None or machine in self._directory.book.machines

    def machines(self) -> frozenset[str]:
        """Return the names of the fleet's machines."""
        book = self._directory.book
        declared_machines = (spec.machine for spec in self.declared_agents().values() if spec.machine)
        return frozenset((*self._fleet.machines, *book.hubs, *book.machines, *declared_machines))

    def declared_hardware(self) -> dict[str, Any]:
        """Return the hardware and labels that the fleet file declares for each machine."""
        return {
            name: {"gpu": spec.gpu, "gpu_memory": spec.gpu_memory, "labels": spec.labels}
            for name, spec in self._fleet.machines.items()
        }

    async def health_of(self, agent: str) -> Any:
        """Return an agent's reply to a health request.

        Raises WireError: the agent does not reply; InputError: it is not in the address book.
        """
        return await self.peer(agent).call("health", timeout=_HEALTH_TIMEOUT_S)

    def declared_agents(self) -> dict[str, AgentSpec]:
        """Return the agents of the fleet file; those of the last valid version if it is invalid."""
        path = Path(self.options.fleet)
        with contextlib.suppress(ArgosyError, OSError):
            if (changed := path.stat().st_mtime_ns) != self._file_mtime_ns:
                self._specs, self._file_mtime_ns = load_fleet(path).agents, changed
        return self._specs

    def last_lines(self, agent: str, limit: int) -> list[str]:
        """Return the last `limit` lines that an agent of this machine printed."""
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
        """Return an agent's machine from the last status, else from the address book; None if unknown."""
        if machine := self._machine_of.get(agent):
            return machine
        entry = self._directory.book.agents.get(agent)
        return entry.machine if entry else None

    def failure(self) -> str:
        """Return why the store cannot be written and which tasks failed recently; empty if neither."""
        failures = self.writer.failure, self._tasks.failure(), self.alert_manager.tasks.failure()
        return "; ".join(filter(None, failures))

    def stopping(self) -> None:
        """Write and acknowledge pending records now, and end all waiting requests."""
        self.sse_broadcaster.end()
        self.writer.flush_now()

    async def stop(self) -> None:
        """Write pending records and close the store."""
        if self._server:
            await self._server.stop()
        await self._tasks.cancel()
        await self.writer.close()

    @request
    async def pull_records(self, positions: bytes, wait_s: float) -> AsyncIterator[bytes]:
        """Stream the records after another hub's positions; `serve_batches` describes the parts."""
        async for part in serve_batches(self.writer, positions, wait_s):
            yield part

    @request
    async def submit_samples(
        self, agent: str, incarnation: str, sequence: int, samples: bytes, dropped: int = 0
    ) -> int:
        """Store an agent's samples, each once, and return the sequence number stored so far.

        sequence: the number of the last of `samples` in the agent's `incarnation`, counted from 1. dropped:
        how many samples the agent dropped before these; a `gap` event records them.
        """
        submitted = _decode_samples(samples)
        if any(len(each.values) != 8 * len(each.names) for each in submitted):
            raise ValueError(f"`{agent}` reports samples whose values are not 8 bytes for each name")
        known_incarnation, acknowledged = self.writer.source_position(agent)
        missed = sequence - len(submitted) - (acknowledged if known_incarnation == incarnation else 0)
        new, last = self._unacknowledged(agent, incarnation, sequence, submitted)
        # Samples dropped while the agent waited for a reply may have arrived after all.
        lost = min(dropped, missed) if new else 0
        gap = HubEvent(int(time.time() * 1000), "gap", agent, {"dropped": lost})
        await self.writer.append([gap] if lost > 0 else [], new, (agent, incarnation, last))
        return last

    @request
    async def submit_events(
        self, events: list[HubEvent], source: str, incarnation: str, sequence: int
    ) -> int:
        """Store events of one source, each once, and return the sequence number stored so far.

        sequence: the number of the last of `events` in the source's `incarnation`, counted from 1.
        """
        new, last = self._unacknowledged(source, incarnation, sequence, events)
        await self.writer.append(new, (), (source, incarnation, last))
        return last

    # Agents and hubs of earlier versions call the following methods by these names.

    @request
    async def take_figures(self, agent: str, life: str, number: int, figures: bytes, dropped: int = 0) -> int:
        """Answer as `submit_samples`."""
        return await self.submit_samples(agent, life, number, figures, dropped)

    @request
    async def records(self, positions: bytes, wait_s: float) -> AsyncIterator[bytes]:
        """Answer as `pull_records`."""
        async for part in serve_batches(self.writer, positions, wait_s):
            yield part

    def _unacknowledged(
        self, source: str, incarnation: str, sequence: int, submitted: list[_Loaded]
    ) -> tuple[list[_Loaded], int]:
        """Return the records not yet stored, and the source's sequence number once they are."""
        known_incarnation, acknowledged = self.writer.source_position(source)
        if known_incarnation != incarnation:
            acknowledged = 0
        new = (
            submitted[max(0, acknowledged - (sequence - len(submitted))) :] if acknowledged < sequence else []
        )
        return new, max(acknowledged, sequence)

    @request
    async def peer_statuses(self) -> dict[str, Any]:
        """Return the status of the other machines' hubs."""
        return {machine: msgspec.to_builtins(each.status) for machine, each in self.replicators.items()}


async def _rotate_log(log: Path) -> None:
    """Rotate this process's own log."""
    while True:
        await asyncio.sleep(_ROTATE_LOG_EVERY_S)
        rotate_own_log(log)
