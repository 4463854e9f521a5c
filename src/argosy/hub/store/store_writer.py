"""The keeper: takes what comes in at any time, and commits it in one go per interval.

What is handed in is told at once to who shows and judges it, and acknowledged when it is on the disk, not
before. All writing is done in one thread of its own, so the loop that answers never waits for the disk.
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
from argosy.hub.store.record_validation import check_received
from argosy.hub.store.records import (
    HubEvent,
    MetricSample,
    RecordBatch,
    RecordOrigin,
    StreamPosition,
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

MAX_WAITING: Final = 50_000  # events, and figures, that the disk does not take; more are refused
COMMIT_TIMEOUT_S: Final = 5.0
TRIM_EVERY_S: Final = 30.0
_MAX_TRIM_S: Final = 0.5  # of work at a time, before what came meanwhile is written
_RETRY_S: Final = 1.0  # after a write that failed
_CHECK_EVERY_S: Final = 1.0  # at the store's file

_log = logging.getLogger("argosy.hub")
_Result = TypeVar("_Result")


class RetentionLimits(NamedTuple):
    """How much is kept: seconds, and bytes of the store, the oldest goes first; after `detail_s` a number a
    minute is enough.
    """

    max_age_s: float
    max_bytes: int
    full_detail_s: float


DEFAULT_LIMITS: Final = RetentionLimits(14 * 86400.0, 2 << 30, FULL_DETAIL_S)


class StoreFullError(ArgosyError):
    """The disk takes nothing, and what waits for it has reached its bound."""


class StoreWriter:
    """One store, for one event loop. Times in seconds.

    path: the store's file. flush_s: how long what comes in may wait for others; a loss of power takes no
    more. Raises StoreError where the store cannot be opened, and not for want of room: until there is some,
    it is only read.

    A store that is damaged, whenever that is met, is set aside, and a new one is begun, in another epoch:
    `renew`. Whoever looked or wrote at that moment does so again, in the new one.
    """

    on_recreated: Callable[[], object] = staticmethod(lambda: None)
    # Told what this machine says as it is handed in, and what other hubs handed over once it is kept.
    on_appended: Callable[[Sequence[HubEvent], Sequence[MetricSample]], object] = staticmethod(
        lambda *_: None
    )
    on_replicated: Callable[[RecordBatch], object] = staticmethod(lambda _: None)

    def __init__(
        self, path: Path, machine: str, flush_s: float = 1.0, limits: RetentionLimits = DEFAULT_LIMITS
    ) -> None:
        self._write_pool = ThreadPoolExecutor(1, "argosy_store")
        self._read_pool = ThreadPoolExecutor(1, "argosy_reading")
        self._peer_pool = ThreadPoolExecutor(1, "argosy_peers")
        self._path = path
        self._machine = machine
        self.failure = ""  # why nothing can be written, empty while it can
        self._store: RecordStore | None = None  # as long as there is no room to open it
        self._peer_reader: StoreReader | None = None  # likewise: a reading that is alone is the only one
        self._flush_s = flush_s
        self._limits = limits
        self._next_trim_s = 0.0
        self.cardinality_limit = CardinalityLimit()
        self._store_generation = 0  # how often the store was begun anew
        self._recreate_lock = asyncio.Lock()
        self._damage_events: list[HubEvent] = []  # by whichever thread came upon damage
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
        """Open the store, or begin a new one in the place of what is damaged."""
        if log := set_aside_wal(self._path):
            self._record_damage("its log was not written by a hub, and what it held is lost", log)
        try:
            self._open()
        except StoreDamagedError as error:
            self._set_aside(error.reason)
            self._open()

    def _open(self) -> None:
        """Open the store; raises DamagedError where a hub could not go on with what it has."""
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
        """Close what is open of the store, each in the state that it may be in."""
        for each in (self._peer_reader, self._reader, self._store):
            with contextlib.suppress(sqlite3.Error):
                if each:
                    each.close()
        self._peer_reader = self._store = None

    def _reopen(self) -> None:
        """Open the store if there is room by now; in the thread that reads, so that nobody does meanwhile."""
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
        """Have it told by the new store; what was there may be nothing at all."""
        is_there = any(moved_to.parent.glob(f"{moved_to.name}*"))
        text = f"the store was damaged: {reason}; " + (
            f"it is set aside as {moved_to.name}, and a new one is begun"
            if is_there
            else "a new one is begun"
        )
        _log.error("%s", text)
        body = {"level": "error", "text": text, "file": moved_to.name if is_there else ""}
        self._damage_events.append(HubEvent(int(time.time() * 1000), "store-damaged", "", body))

    def _append_damage_events(self) -> None:
        """Keep and tell what was found of damage."""
        events, self._damage_events = self._damage_events, []
        if events:
            self._events += events
            self._wake.set()
            self.on_appended(events, ())

    async def recreate(self, error: BaseException, generation: int | None = None) -> None:
        """Set the store aside for what an error says of it, and begin a new one; once for all who met it.

        life: in which it was met, now if it is left out. Raises StoreError: it cannot be.
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
        self.on_recreated()

    def _recreate_store(self, reason: str) -> None:
        try:
            self._set_aside(reason)
            self._open()
        except StoreError:
            self._reader = StoreReader(self._path.with_name(f"{self._path.name}.none"), is_exclusive=True)
            raise

    async def _close_all(self) -> None:
        """Close each connection in the thread that uses it, behind what it was asked before."""
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
        """See every second that the file is still there, and the one that it was."""
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            with contextlib.suppress(StoreError, OSError):  # what it is then is told by `failure`
                await self._with_recreate(self._write_pool, self._check)

    def _check(self) -> None:
        if self._store:
            self._store.check()

    async def _with_recreate(self, pool: ThreadPoolExecutor, action: Callable[[], _Result]) -> _Result:
        """Return what `act` does with the store; where that is damaged, with the new one."""
        async with self._recreate_lock:
            generation = self._store_generation
        try:
            return await self._run_in(pool, action)
        except Exception as error:
            is_recreated = generation != self._store_generation  # so that what it was about to use was closed
            if not is_recreated and not is_damage(error):
                raise
            await self.recreate(error, generation)
        return await self._run_in(pool, action)

    @property
    def directory(self) -> Path:
        """Where the store is."""
        return self._path.parent

    @property
    def origin(self) -> RecordOrigin:
        """Whose records this machine's are; there is none before the store is open."""
        assert self._store, "there is room for the store"
        return self._store.origin

    def flush_now(self) -> None:
        """Write what waits, and from now on whatever comes, at once; leave no question waiting."""
        self._draining.set()
        self._flush_requested.set()
        self._notify_committed()

    async def close(self) -> None:
        """Write what waits, and close the store in order."""
        self.flush_now()
        self._is_closed = True
        self._wake.set()
        await self._flush_task
        self._check_task.cancel()
        await asyncio.gather(self._check_task, return_exceptions=True)
        await self._close_all()
        for pool in (self._write_pool, self._read_pool, self._peer_pool):
            pool.shutdown()

    # -- what this machine says -------------------------------------------------------------

    def source_position(self, source: str) -> tuple[str, int]:
        """Return the life and the number up to which a source has handed in, on the disk or on its way."""
        return self._source_positions.get(source, ("", 0))

    def forget_source(self, source: str) -> None:
        """Take a source for one that has never handed in anything."""
        self._source_positions.pop(source, None)

    async def append(
        self,
        events: Sequence[HubEvent] = (),
        samples: Sequence[MetricSample] = (),
        source: tuple[str, str, int] | None = None,
        *,
        is_urgent: bool = False,
    ) -> None:
        """Return when all of it is on the disk; otherwise as `hand_in`."""
        await self.submit(events, samples, source, is_urgent=is_urgent)

    async def append_or_raise(self, events: Sequence[HubEvent]) -> None:
        """Return when events are on the disk that have to be there before something is done.

        Raises FullError: they are not within `FIRST_WITHIN_S`; they may get there later.
        """
        if self.failure or not await self.append_soon(events):
            raise self._full_error()

    async def append_soon(
        self, events: Sequence[HubEvent] = (), source: tuple[str, str, int] | None = None
    ) -> bool:
        """Hand in, and return whether it is on the disk within `FIRST_WITHIN_S`; a disk that is known to take
        nothing is not waited for. Raises FullError.
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
        """Take what this machine says, and return what is done once all of it is on the disk.

        source: (name, life, number), how far that source has handed in with this. soon: somebody waits for
        it, so it is written now, with all that waits. Raises FullError, as what is returned does when the
        keeper is closed before there is room.
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
        self.on_appended(events, samples)
        return waiter

    def _full_error(self) -> StoreFullError:
        failure = self.failure or f"it has not written for {COMMIT_TIMEOUT_S:.0f} s"
        return StoreFullError(Fault("hub", "store-full", f"the store takes nothing: {failure}"))

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
        except Exception as error:  # whatever it is, what came in is not lost by it
            if not self.failure:
                is_known = isinstance(error, sqlite3.Error | StoreError)
                _log.error("nothing can be written to the store: %s", error, exc_info=not is_known)
            self.failure = (
                error.faults[0].message if isinstance(error, StoreError) else str(error) or repr(error)
            )
            self._events, self._samples = events + self._events, samples + self._samples
            self._sources = sources | self._sources
            # Who has gone meanwhile, as agents do that ask again, waits no more.
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
                waiter.exception()  # not everybody waits for it
        self._events, self._samples, self._sources, self._waiters = [], [], {}, []

    def _write(
        self, events: list[HubEvent], samples: list[MetricSample], sources: dict[str, tuple[str, int]]
    ) -> None:
        store = self._require_store()
        try:
            store.append(events, samples, sources)
        except sqlite3.IntegrityError as error:  # its numbers are given out already
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
        """Drop what is too much as fast as it comes, and what is too old a little at a time, so that nobody
        waits long for it.
        """
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
            _log.warning("what is too old or too much stays for now: %s", error)

    def _compact(self) -> None:
        """Do a piece of what is due; the next one with the next flush."""
        try:
            self._require_store().compact()
        except sqlite3.Error as error:  # sealing needs room before it gives some back
            if is_damage(error):
                raise
            _log.warning("ticks stay as they are for now: %s", error)

    # -- what other hubs say ----------------------------------------------------------------

    async def store_batches(self, batches: Sequence[RecordBatch]) -> int:
        """Keep what another hub handed over, and return how many batches were the next of their stream.

        Raises sqlite3.Error: the disk is full; ValueError: it cannot be read.
        """
        at_ms = int(time.time() * 1000)
        stored = await self._with_recreate(self._write_pool, lambda: self._store_batches(batches, at_ms))
        for batch in stored:
            self.on_replicated(batch)
        if gaps := gap_events(stored, at_ms):
            self.on_appended(gaps, ())
        if stored:
            self._notify_committed()
            await self._with_recreate(self._write_pool, self._maintain)
        return len(stored)

    def _store_batches(self, batches: Sequence[RecordBatch], at_ms: int) -> list[RecordBatch]:
        check_received(batches)
        return self._require_store().store_batches(batches, at_ms)

    async def read(self, query: Callable[[StoreReader], _Result]) -> _Result:
        """Look at what is on the disk, in the thread for that, and return what `look` does."""
        return await self._with_recreate(self._read_pool, lambda: query(self._reader))

    async def positions(self) -> list[StreamPosition]:
        """Return how far each origin is known here, on the disk."""
        return await self._read_for_peers(lambda reading: reading.positions())

    async def _read_for_peers(self, query: Callable[[StoreReader], _Result]) -> _Result:
        """Look in a thread of its own: a peer that waited behind what somebody looks at on the page would
        take this hub for gone.
        """
        if self._peer_reader is None:
            return await self.read(query)
        return await self._with_recreate(self._peer_pool, lambda: query(self._peer_reader or self._reader))

    async def records_after(
        self, positions: Sequence[StreamPosition], max_bytes: int, wait_s: float
    ) -> list[RecordBatch]:
        """Return what follows `positions`; where nothing does, wait for it up to `wait_s`."""
        until_s = time.monotonic() + wait_s
        while True:
            changed = self._committed
            found = await self._read_for_peers(lambda reading: reading.records_after(positions, max_bytes))
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
