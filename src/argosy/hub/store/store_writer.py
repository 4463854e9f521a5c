"""The store writer: collects records and commits them once per interval.

Submitted records are published at once to the current state and the alerts, and acknowledged when they are on
the disk. All writing is done in one thread of its own, so the event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from argosy.fault import ArgosyError, Fault
from argosy.hub.store.cardinality_limit import CardinalityLimit
from argosy.hub.store.record_store import FULL_DETAIL_S, RecordStore
from argosy.hub.store.records import (
    HubEvent,
    MetricSample,
    RecordBatch,
    RecordOrigin,
    StreamPosition,
    check_received,
    gap_events,
)
from argosy.hub.store.store_file import (
    StoreDamagedError,
    StoreError,
    StoreNoRoomError,
    damage_reason,
    is_damage,
    set_aside,
    set_aside_wal,
)
from argosy.hub.store.store_reader import StoreReader

MAX_WAITING: Final = 50_000  # events, and samples, while the disk cannot be written; more are refused
COMMIT_TIMEOUT_S: Final = 5.0
TRIM_EVERY_S: Final = 30.0
_MAX_TRIM_S: Final = 0.5  # before records submitted meanwhile are written
_RETRY_S: Final = 1.0  # after a write that failed
_CHECK_EVERY_S: Final = 1.0  # of the store's file

_log = logging.getLogger("argosy.hub")
_Result = TypeVar("_Result")


class RetentionLimits(NamedTuple):
    """How long records are kept, in seconds, and the size of the store; the oldest are dropped first.

    full_detail_s: the age at which samples are downsampled to one a minute.
    """

    max_age_s: float
    max_bytes: int
    full_detail_s: float


DEFAULT_LIMITS: Final = RetentionLimits(14 * 86400.0, 2 << 30, FULL_DETAIL_S)


class StoreFullError(ArgosyError):
    """The disk cannot be written, and the records in memory have reached their limit."""


class StoreWriter:
    """One store, for one event loop. Times in seconds.

    path: the store's file. flush_s: the longest time that records wait to be written together, and so the
    most that a power loss takes. Raises StoreError: the store cannot be opened. On a full disk it is opened
    read-only until there is space.

    A damaged store, whenever the damage is found, is set aside and a new one is created with a new epoch
    (`recreate`). Reads and writes in progress are repeated on the new store.

    on_appended: called with records of this machine when they are submitted. on_replicated: called with each
    batch of another hub when it is stored. on_recreated: called when a new store replaced a damaged one.
    """

    def __init__(
        self,
        path: Path,
        machine: str,
        flush_s: float = 1.0,
        limits: RetentionLimits = DEFAULT_LIMITS,
        on_appended: Callable[[Sequence[HubEvent], Sequence[MetricSample]], object] = lambda *_: None,
        on_replicated: Callable[[RecordBatch], object] = lambda _: None,
        on_recreated: Callable[[], object] = lambda: None,
    ) -> None:
        self._on_appended, self._on_replicated, self._on_recreated = on_appended, on_replicated, on_recreated
        self._write_pool = ThreadPoolExecutor(1, "argosy_store_write")
        self._read_pool = ThreadPoolExecutor(1, "argosy_store_read")
        self._peer_pool = ThreadPoolExecutor(1, "argosy_peer_read")
        self._path = path
        self._machine = machine
        self.failure = ""  # why the store cannot be written, empty if it can
        self._store: RecordStore | None = None  # None while the disk is too full to open it
        self._peer_reader: StoreReader | None = None  # likewise: an exclusive reader is the only one
        self._flush_s = flush_s
        self._limits = limits
        self._next_trim_s = 0.0
        self.cardinality_limit = CardinalityLimit()
        self._store_generation = 0  # how often the store was recreated
        self._recreate_lock = asyncio.Lock()
        self._damage_events: list[HubEvent] = []  # added by the thread that finds the damage
        self._events: list[HubEvent] = []
        self._samples: list[MetricSample] = []
        self._sources: dict[str, tuple[str, int]] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._committed = asyncio.Event()
        self._wake = asyncio.Event()
        self._draining = asyncio.Event()
        self._flush_requested = asyncio.Event()
        self._is_closed = False
        try:
            self._open_or_recreate()
        except StoreNoRoomError as error:
            self.failure = error.faults[0].message
            _log.error("%s", error)
            self._open_exclusive_reader(error)
        self._source_positions = self._reader.source_positions()
        self._append_damage_events()
        self._flush_task = asyncio.ensure_future(self._flush_loop())
        self._check_task = asyncio.ensure_future(self._check_loop())

    def _open_or_recreate(self) -> None:
        """Open the store; set a damaged one aside and create a new one."""
        if log := set_aside_wal(self._path):
            self._record_damage("its log was not written by a hub; the records in it are lost", log)
        try:
            self._open()
        except StoreDamagedError as error:
            self._set_aside(error.reason)
            self._open()

    def _open(self) -> None:
        """Open the store. Raises StoreDamagedError: it cannot be used."""
        self._store = RecordStore(self._path, self._machine, self._limits.full_detail_s)
        try:
            self._reader = StoreReader(self._path)
            self._peer_reader = StoreReader(self._path)
            self._reader.source_positions()
        except (sqlite3.Error, msgspec.DecodeError) as error:
            self._close_files()
            raise (
                StoreDamagedError(self._path, damage_reason(error)) if is_damage(error) else error
            ) from None

    def _close_files(self) -> None:
        """Close the open connections, whatever their state."""
        for each in (self._peer_reader, self._reader, self._store):
            with contextlib.suppress(sqlite3.Error):
                if each:
                    each.close()
        self._peer_reader = self._store = None

    def _reopen(self) -> None:
        """Open the store if there is space by now; runs in the read thread, so that no read overlaps."""
        self._reader.close()
        try:
            self._open_or_recreate()
        except StoreError as error:
            self._open_exclusive_reader(error)
            raise

    def _open_exclusive_reader(self, error: StoreError) -> None:
        try:
            self._reader = StoreReader(self._path, is_exclusive=True)
        except sqlite3.Error:
            raise error from None

    # -- damage -----------------------------------------------------------------------------

    def _set_aside(self, reason: str) -> None:
        self._record_damage(reason, set_aside(self._path))

    def _record_damage(self, reason: str, moved_to: Path) -> None:
        """Record damage as an event of the new store. moved_to: the old store's name, if it existed."""
        is_there = any(moved_to.parent.glob(f"{moved_to.name}*"))
        text = f"the store was damaged: {reason}; " + (
            f"it is set aside as {moved_to.name}, and a new one is created"
            if is_there
            else "a new one is created"
        )
        _log.error("%s", text)
        body = {"level": "error", "text": text, "file": moved_to.name if is_there else ""}
        self._damage_events.append(HubEvent(int(time.time() * 1000), "store-damaged", "", body))

    def _append_damage_events(self) -> None:
        """Store and publish the damage events."""
        events, self._damage_events = self._damage_events, []
        if events:
            self._events += events
            self._wake.set()
            self._on_appended(events, ())

    async def recreate(self, error: BaseException, generation: int | None = None) -> None:
        """Set the damaged store aside and create a new one, once for all callers that found the damage.

        generation: the store generation in which `error` was raised, by default the current one. Raises
        StoreError: the store cannot be replaced.
        """
        generation = self._store_generation if generation is None else generation
        async with self._recreate_lock:
            if generation != self._store_generation:
                return
            self._store_generation += 1
            await self._close_all()
            try:
                await self._run_in(self._write_pool, lambda: self._recreate_store(damage_reason(error)))
            except StoreError as refusal:
                self.failure = refusal.faults[0].message
                raise
        self._append_damage_events()
        self._on_recreated()

    def _recreate_store(self, reason: str) -> None:
        try:
            self._set_aside(reason)
            self._open()
        except StoreError:
            self._reader = StoreReader(self._path.with_name(f"{self._path.name}.none"), is_exclusive=True)
            raise

    async def _close_all(self) -> None:
        """Close each connection in its own thread, after the work queued there."""
        for pool, each in (
            (self._peer_pool, self._peer_reader),
            (self._read_pool, self._reader),
            (self._write_pool, self._store),
        ):
            if each:
                with contextlib.suppress(sqlite3.Error):
                    await self._run_in(pool, each.close)
        self._peer_reader = self._store = None

    async def _check_loop(self) -> None:
        """Check every second that the file still exists and was not replaced."""
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            with contextlib.suppress(StoreError, OSError):  # `failure` reports it
                await self._with_recreate(self._write_pool, self._check)

    def _check(self) -> None:
        if self._store:
            self._store.check()

    async def _with_recreate(self, pool: ThreadPoolExecutor, action: Callable[[], _Result]) -> _Result:
        """Return the result of `action`; if the store is damaged, recreate it and repeat `action`."""
        async with self._recreate_lock:
            generation = self._store_generation
        try:
            return await self._run_in(pool, action)
        except Exception as error:
            is_recreated = generation != self._store_generation  # then its connection was closed
            if not is_recreated and not is_damage(error):
                raise
            await self.recreate(error, generation)
        return await self._run_in(pool, action)

    @property
    def directory(self) -> Path:
        """The directory of the store."""
        return self._path.parent

    @property
    def origin(self) -> RecordOrigin:
        """The origin of this machine's records; only while the store is open."""
        assert self._store, "the store is open"
        return self._store.origin

    def flush_now(self) -> None:
        """Write pending records, and all later ones without delay; end waiting requests."""
        self._draining.set()
        self._flush_requested.set()
        self._notify_committed()

    async def close(self) -> None:
        """Write pending records and close the store."""
        self.flush_now()
        self._is_closed = True
        self._wake.set()
        await self._flush_task
        self._check_task.cancel()
        await asyncio.gather(self._check_task, return_exceptions=True)
        await self._close_all()
        for pool in (self._write_pool, self._read_pool, self._peer_pool):
            pool.shutdown()

    # -- records of this machine ------------------------------------------------------------

    def source_position(self, source: str) -> tuple[str, int]:
        """Return the incarnation and sequence number up to which a source's records are stored or pending."""
        return self._source_positions.get(source, ("", 0))

    def forget_source(self, source: str) -> None:
        """Reset the position of a source."""
        self._source_positions.pop(source, None)

    async def append(
        self,
        events: Sequence[HubEvent] = (),
        samples: Sequence[MetricSample] = (),
        source: tuple[str, str, int] | None = None,
    ) -> None:
        """Submit records and wait until they are on the disk; see `submit`."""
        await self.submit(events, samples, source)

    async def append_or_raise(self, events: Sequence[HubEvent]) -> None:
        """Submit events that must be on the disk before an action, and wait until they are.

        Raises StoreFullError: they are not within `COMMIT_TIMEOUT_S`; they may be written later.
        """
        if self.failure or not await self.append_soon(events):
            raise self._full_error()

    async def append_soon(
        self, events: Sequence[HubEvent] = (), source: tuple[str, str, int] | None = None
    ) -> bool:
        """Submit events, and return whether they are on the disk within `COMMIT_TIMEOUT_S`.

        Does not wait if the store cannot be written. Raises StoreFullError.
        """
        waiter = self.submit(events, (), source, is_urgent=True)
        await asyncio.wait([waiter], timeout=0.0 if self.failure else COMMIT_TIMEOUT_S)
        return waiter.done() and not waiter.exception()

    def submit(
        self,
        events: Sequence[HubEvent] = (),
        samples: Sequence[MetricSample] = (),
        source: tuple[str, str, int] | None = None,
        *,
        is_urgent: bool = False,
    ) -> asyncio.Future[None]:
        """Add records of this machine; return a future that is done when they are on the disk.

        source: (name, incarnation, sequence), the new position of a source. is_urgent: write all pending
        records now. Raises StoreFullError, as the future does if the writer is closed while the disk is full.
        """
        has_room = (not events or len(self._events) <= MAX_WAITING) and (
            not samples or len(self._samples) <= MAX_WAITING
        )
        if self.failure and not has_room:
            raise self._full_error()
        samples, dropped = self.cardinality_limit.admit(samples)
        events = [*events, *dropped]
        self._events += events
        self._samples += samples
        if source:
            name, incarnation, sequence = source
            self._source_positions[name] = self._sources[name] = (incarnation, sequence)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        if is_urgent:
            self._flush_requested.set()
        self._on_appended(events, samples)
        return waiter

    def _full_error(self) -> StoreFullError:
        failure = self.failure or f"it has not written for {COMMIT_TIMEOUT_S:.0f} s"
        return StoreFullError(Fault("hub", "store-full", f"the store cannot be written: {failure}"))

    async def _flush_loop(self) -> None:
        last_s = -self._flush_s
        while self._has_waiting() or not self._is_closed:
            await self._wake.wait()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._flush_requested.wait(), last_s + self._flush_s - time.monotonic()
                )
            if not self._draining.is_set():
                self._flush_requested.clear()
            last_s = time.monotonic()
            if self._has_waiting():
                await self._flush()
            elif self._store:
                with contextlib.suppress(StoreError):
                    await self._with_recreate(self._write_pool, self._compact)

    def _has_waiting(self) -> bool:
        return bool(self._events or self._samples or self._sources or self._waiters)

    async def _flush(self) -> None:
        events, samples, sources = self._events, self._samples, self._sources
        waiters = self._waiters
        self._events, self._samples, self._sources, self._waiters = [], [], {}, []
        try:
            if self._store is None:
                await self._run_in(self._read_pool, self._reopen)
                self._append_damage_events()
            await self._with_recreate(self._write_pool, lambda: self._write(events, samples, sources))
        except Exception as error:  # no error may lose the pending records
            if not self.failure:
                is_known = isinstance(error, sqlite3.Error | StoreError)
                _log.error("nothing can be written to the store: %s", error, exc_info=not is_known)
            self.failure = (
                error.faults[0].message if isinstance(error, StoreError) else str(error) or repr(error)
            )
            self._events, self._samples = events + self._events, samples + self._samples
            self._sources = sources | self._sources
            # Skip waiters that were cancelled meanwhile, as by an agent that retries.
            self._waiters = [each for each in waiters if not each.done()] + self._waiters
            if self._is_closed:
                self._fail_waiters()
                return
            await asyncio.sleep(_RETRY_S)
            self._wake.set()
            return
        if self.failure:
            _log.warning("the store can be written again")
            self.failure = ""
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._notify_committed()

    def _fail_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(self._full_error())
                waiter.exception()  # marks it as retrieved: not every future is awaited
        self._events, self._samples, self._sources, self._waiters = [], [], {}, []

    def _write(
        self, events: list[HubEvent], samples: list[MetricSample], sources: dict[str, tuple[str, int]]
    ) -> None:
        store = self._require_store()
        try:
            store.append(events, samples, sources)
        except sqlite3.IntegrityError as error:  # its numbers are in use already
            raise StoreDamagedError(self._path, str(error)) from None
        self._maintain()

    def _require_store(self) -> RecordStore:
        if self._store is None:
            raise sqlite3.OperationalError(self.failure or "the store is not open")
        return self._store

    def _maintain(self) -> None:
        self._compact()
        self._enforce_retention()

    def _enforce_retention(self) -> None:
        """Drop records above the size limit, and a few of those above the age limit, in little time."""
        store = self._require_store()
        now_s = time.monotonic()
        try:
            while store.used_bytes() > self._limits.max_bytes and (oldest := store.oldest_ms()):
                if not store.drop_before(oldest) or time.monotonic() > now_s + _MAX_TRIM_S:
                    break
            if now_s >= self._next_trim_s:
                before_ms = int((time.time() - self._limits.max_age_s) * 1000)
                dropped = store.drop_before(before_ms)
                self._next_trim_s = now_s + (0.0 if dropped else TRIM_EVERY_S)
        except sqlite3.Error as error:
            if is_damage(error):
                raise
            _log.warning("old records cannot be dropped yet: %s", error)

    def _compact(self) -> None:
        """Do one step of compaction; the next follows with the next flush."""
        try:
            self._require_store().compact()
        except sqlite3.Error as error:  # compaction needs space before it frees some
            if is_damage(error):
                raise
            _log.warning("samples cannot be compacted yet: %s", error)

    # -- records of other hubs --------------------------------------------------------------

    async def store_batches(self, batches: Sequence[RecordBatch]) -> int:
        """Store batches of another hub, and return how many of them continued their stream.

        Raises sqlite3.Error: the disk is full; ValueError: a batch cannot be decoded.
        """
        at_ms = int(time.time() * 1000)
        stored = await self._with_recreate(self._write_pool, lambda: self._store_batches(batches, at_ms))
        for batch in stored:
            self._on_replicated(batch)
        if gaps := gap_events(stored, at_ms):
            self._on_appended(gaps, ())
        if stored:
            self._notify_committed()
            await self._with_recreate(self._write_pool, self._maintain)
        return len(stored)

    def _store_batches(self, batches: Sequence[RecordBatch], at_ms: int) -> list[RecordBatch]:
        check_received(batches)
        return self._require_store().store_batches(batches, at_ms)

    async def read(self, query: Callable[[StoreReader], _Result]) -> _Result:
        """Run a query in the read thread and return its result."""
        return await self._with_recreate(self._read_pool, lambda: query(self._reader))

    async def positions(self) -> list[StreamPosition]:
        """Return the position of each origin on the disk."""
        return await self._read_for_peers(lambda reader: reader.positions())

    async def _read_for_peers(self, query: Callable[[StoreReader], _Result]) -> _Result:
        """Run a query in the peer thread: a peer that waited for the page's queries would time out."""
        if self._peer_reader is None:
            return await self.read(query)
        return await self._with_recreate(self._peer_pool, lambda: query(self._peer_reader or self._reader))

    async def records_after(
        self, positions: Sequence[StreamPosition], max_bytes: int, wait_s: float
    ) -> list[RecordBatch]:
        """Return the records after `positions`; if there are none, wait for some up to `wait_s` seconds."""
        until_s = time.monotonic() + wait_s
        while True:
            changed = self._committed
            found = await self._read_for_peers(lambda reader: reader.records_after(positions, max_bytes))
            left_s = until_s - time.monotonic()
            if found or left_s <= 0 or self._draining.is_set():
                return found
            try:
                await asyncio.wait_for(changed.wait(), left_s)
            except TimeoutError:
                return []

    def _notify_committed(self) -> None:
        self._committed.set()
        self._committed = asyncio.Event()

    async def _run_in(self, pool: ThreadPoolExecutor, action: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(pool, action)
