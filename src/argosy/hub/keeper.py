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
from argosy.hub.figurebound import FigureBound
from argosy.hub.reading import Reading
from argosy.hub.record import Batch, Event, Figures, Origin, Position, gaps_of
from argosy.hub.store import DETAIL_S, Store
from argosy.hub.storefile import (
    DamagedError,
    NoRoomError,
    StoreError,
    is_damage,
    set_aside,
    set_aside_log,
    what_of,
)
from argosy.hub.whole import check_foreign

MOST_WAITING: Final = 50_000  # events, and figures, that the disk does not take; more are refused
FIRST_WITHIN_S: Final = 5.0
TRIM_EVERY_S: Final = 30.0
_TRIM_S: Final = 0.5  # of work at a time, before what came meanwhile is written
_RETRY_S: Final = 1.0  # after a write that failed
_LOOK_EVERY_S: Final = 1.0  # at the store's file

_log = logging.getLogger("argosy.hub")
_Result = TypeVar("_Result")


class Bounds(NamedTuple):
    """How much is kept: seconds, and bytes of the store, the oldest goes first; after `detail_s` a number a
    minute is enough.
    """

    age_s: float
    size_bytes: int
    detail_s: float


BOUNDS: Final = Bounds(14 * 86400.0, 2 << 30, DETAIL_S)


class FullError(ArgosyError):
    """The disk takes nothing, and what waits for it has reached its bound."""


class Keeper:
    """One store, for one event loop. Times in seconds.

    path: the store's file. flush_s: how long what comes in may wait for others; a loss of power takes no
    more. Raises StoreError where the store cannot be opened, and not for want of room: until there is some,
    it is only read.

    A store that is damaged, whenever that is met, is set aside, and a new one is begun, in another epoch:
    `renew`. Whoever looked or wrote at that moment does so again, in the new one.
    """

    on_renewed: Callable[[], object] = staticmethod(lambda: None)
    # Told what this machine says as it is handed in, and what other hubs handed over once it is kept.
    on_said: Callable[[Sequence[Event], Sequence[Figures]], object] = staticmethod(lambda *_: None)
    on_taken: Callable[[Batch], object] = staticmethod(lambda _: None)

    def __init__(self, path: Path, machine: str, flush_s: float = 1.0, bounds: Bounds = BOUNDS) -> None:
        self._writer = ThreadPoolExecutor(1, "argosy_store")
        self._reader = ThreadPoolExecutor(1, "argosy_reading")
        self._peers = ThreadPoolExecutor(1, "argosy_peers")
        self._path = path
        self._machine = machine
        self.failure = ""  # why nothing can be written, empty while it can
        self._store: Store | None = None  # as long as there is no room to open it
        self._for_peers: Reading | None = None  # likewise: a reading that is alone is the only one
        self._flush_s = flush_s
        self._bounds = bounds
        self._next_trim_s = 0.0
        self.figure_bound = FigureBound()
        self._life = 0  # how often the store was begun anew
        self._renewing = asyncio.Lock()
        self._told: list[Event] = []  # by whichever thread came upon damage
        self._events: list[Event] = []
        self._figures: list[Figures] = []
        self._sources: dict[str, tuple[str, int]] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._soon = asyncio.Event()
        self._is_closed = False
        try:
            self._open_whole()
        except NoRoomError as error:
            self.failure = error.faults[0].message
            _log.error("%s", error)
            self._read_alone(error)
        self._heard = self._reading.heard()
        self._hand_in_told()
        self._flusher = asyncio.ensure_future(self._flush_on())
        self._looker = asyncio.ensure_future(self._look_on())

    def _open_whole(self) -> None:
        """Open the store, or begin a new one in the place of what is damaged."""
        if log := set_aside_log(self._path):
            self._say_damaged("its log was not written by a hub, and what it held is lost", log)
        try:
            self._open()
        except DamagedError as error:
            self._set_aside(error.what)
            self._open()

    def _open(self) -> None:
        """Open the store; raises DamagedError where a hub could not go on with what it has."""
        self._store = Store(self._path, self._machine, self._bounds.detail_s)
        try:
            self._reading = Reading(self._path)
            self._for_peers = Reading(self._path)
            self._reading.heard()
        except (sqlite3.Error, msgspec.DecodeError) as error:
            self._close_files()
            raise (DamagedError(self._path, what_of(error)) if is_damage(error) else error) from None

    def _close_files(self) -> None:
        """Close what is open of the store, each in the state that it may be in."""
        for each in (self._for_peers, self._reading, self._store):
            with contextlib.suppress(sqlite3.Error):
                if each:
                    each.close()
        self._for_peers = self._store = None

    def _open_again(self) -> None:
        """Open the store if there is room by now; in the thread that reads, so that nobody does meanwhile."""
        self._reading.close()
        try:
            self._open_whole()
        except StoreError as error:
            self._read_alone(error)
            raise

    def _read_alone(self, error: StoreError) -> None:
        try:
            self._reading = Reading(self._path, is_alone=True)
        except sqlite3.Error:
            raise error from None

    # -- damage -----------------------------------------------------------------------------

    def _set_aside(self, what: str) -> None:
        self._say_damaged(what, set_aside(self._path))

    def _say_damaged(self, what: str, aside: Path) -> None:
        """Have it told by the new store; what was there may be nothing at all."""
        is_there = any(aside.parent.glob(f"{aside.name}*"))
        text = f"the store was damaged: {what}; " + (
            f"it is set aside as {aside.name}, and a new one is begun" if is_there else "a new one is begun"
        )
        _log.error("%s", text)
        body = {"level": "error", "text": text, "file": aside.name if is_there else ""}
        self._told.append(Event(int(time.time() * 1000), "store-damaged", "", body))

    def _hand_in_told(self) -> None:
        """Keep and tell what was found of damage."""
        told, self._told = self._told, []
        if told:
            self._events += told
            self._wake.set()
            self.on_said(told, ())

    async def renew(self, error: BaseException, life: int | None = None) -> None:
        """Set the store aside for what an error says of it, and begin a new one; once for all who met it.

        life: in which it was met, now if it is left out. Raises StoreError: it cannot be.
        """
        life = self._life if life is None else life
        async with self._renewing:
            if life != self._life:
                return
            self._life += 1
            await self._close_all()
            try:
                await self._in(self._writer, lambda: self._begin_anew(what_of(error)))
            except StoreError as refusal:
                self.failure = refusal.faults[0].message
                raise
        self._hand_in_told()
        self.on_renewed()

    def _begin_anew(self, what: str) -> None:
        try:
            self._set_aside(what)
            self._open()
        except StoreError:
            self._reading = Reading(self._path.with_name(f"{self._path.name}.none"), is_alone=True)
            raise

    async def _close_all(self) -> None:
        """Close each connection in the thread that uses it, behind what it was asked before."""
        for pool, each in (
            (self._peers, self._for_peers),
            (self._reader, self._reading),
            (self._writer, self._store),
        ):
            if each:
                with contextlib.suppress(sqlite3.Error):
                    await self._in(pool, each.close)
        self._for_peers = self._store = None

    async def _look_on(self) -> None:
        """See every second that the file is still there, and the one that it was."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            with contextlib.suppress(StoreError, OSError):  # what it is then is told by `failure`
                await self._guarded(self._writer, self._check)

    def _check(self) -> None:
        if self._store:
            self._store.check()

    async def _guarded(self, pool: ThreadPoolExecutor, act: Callable[[], _Result]) -> _Result:
        """Return what `act` does with the store; where that is damaged, with the new one."""
        async with self._renewing:
            life = self._life
        try:
            return await self._in(pool, act)
        except Exception as error:
            is_renewed = life != self._life  # so that what it was about to use was closed
            if not is_renewed and not is_damage(error):
                raise
            await self.renew(error, life)
        return await self._in(pool, act)

    @property
    def folder(self) -> Path:
        """Where the store is."""
        return self._path.parent

    @property
    def origin(self) -> Origin:
        """Whose records this machine's are; there is none before the store is open."""
        assert self._store, "there is room for the store"
        return self._store.origin

    def hurry(self) -> None:
        """Write what waits, and from now on whatever comes, at once; leave no question waiting."""
        self._hurry.set()
        self._soon.set()
        self._tell()

    async def close(self) -> None:
        """Write what waits, and close the store in order."""
        self.hurry()
        self._is_closed = True
        self._wake.set()
        await self._flusher
        self._looker.cancel()
        await asyncio.gather(self._looker, return_exceptions=True)
        await self._close_all()
        for pool in (self._writer, self._reader, self._peers):
            pool.shutdown()

    # -- what this machine says -------------------------------------------------------------

    def heard(self, source: str) -> tuple[str, int]:
        """Return the life and the number up to which a source has handed in, on the disk or on its way."""
        return self._heard.get(source, ("", 0))

    def forget(self, source: str) -> None:
        """Take a source for one that has never handed in anything."""
        self._heard.pop(source, None)

    async def keep(
        self,
        events: Sequence[Event] = (),
        figures: Sequence[Figures] = (),
        source: tuple[str, str, int] | None = None,
        *,
        soon: bool = False,
    ) -> None:
        """Return when all of it is on the disk; otherwise as `hand_in`."""
        await self.hand_in(events, figures, source, soon=soon)

    async def keep_first(self, events: Sequence[Event]) -> None:
        """Return when events are on the disk that have to be there before something is done.

        Raises FullError: they are not within `FIRST_WITHIN_S`; they may get there later.
        """
        if self.failure or not await self.keep_soon(events):
            raise self._full()

    async def keep_soon(
        self, events: Sequence[Event] = (), source: tuple[str, str, int] | None = None
    ) -> bool:
        """Hand in, and return whether it is on the disk within `FIRST_WITHIN_S`; a disk that is known to take
        nothing is not waited for. Raises FullError.
        """
        waiter = self.hand_in(events, (), source, soon=True)
        await asyncio.wait([waiter], timeout=0.0 if self.failure else FIRST_WITHIN_S)
        return waiter.done() and not waiter.exception()

    def hand_in(
        self,
        events: Sequence[Event] = (),
        figures: Sequence[Figures] = (),
        source: tuple[str, str, int] | None = None,
        *,
        soon: bool = False,
    ) -> asyncio.Future[None]:
        """Take what this machine says, and return what is done once all of it is on the disk.

        source: (name, life, number), how far that source has handed in with this. soon: somebody waits for
        it, so it is written now, with all that waits. Raises FullError, as what is returned does when the
        keeper is closed before there is room.
        """
        has_room = (not events or len(self._events) <= MOST_WAITING) and (
            not figures or len(self._figures) <= MOST_WAITING
        )
        if self.failure and not has_room:
            raise self._full()
        figures, dropped = self.figure_bound.admit(figures)
        events = [*events, *dropped]
        self._events += events
        self._figures += figures
        if source:
            name, life, number = source
            self._heard[name] = self._sources[name] = (life, number)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        if soon:
            self._soon.set()
        self.on_said(events, figures)
        return waiter

    def _full(self) -> FullError:
        failure = self.failure or f"it has not written for {FIRST_WITHIN_S:.0f} s"
        return FullError(Fault("hub", "store-full", f"the store takes nothing: {failure}"))

    async def _flush_on(self) -> None:
        last_s = -self._flush_s
        while self._has_waiting() or not self._is_closed:
            await self._wake.wait()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._soon.wait(), last_s + self._flush_s - time.monotonic())
            if not self._hurry.is_set():
                self._soon.clear()
            last_s = time.monotonic()
            if self._has_waiting():
                await self._flush()
            elif self._store:
                with contextlib.suppress(StoreError):
                    await self._guarded(self._writer, self._seal)

    def _has_waiting(self) -> bool:
        return bool(self._events or self._figures or self._sources or self._waiters)

    async def _flush(self) -> None:
        events, figures, sources = self._events, self._figures, self._sources
        waiters = self._waiters
        self._events, self._figures, self._sources, self._waiters = [], [], {}, []
        try:
            if self._store is None:
                await self._in(self._reader, self._open_again)
                self._hand_in_told()
            await self._guarded(self._writer, lambda: self._write(events, figures, sources))
        except Exception as error:  # whatever it is, what came in is not lost by it
            if not self.failure:
                is_known = isinstance(error, sqlite3.Error | StoreError)
                _log.error("nothing can be written to the store: %s", error, exc_info=not is_known)
            self.failure = (
                error.faults[0].message if isinstance(error, StoreError) else str(error) or repr(error)
            )
            self._events, self._figures = events + self._events, figures + self._figures
            self._sources = sources | self._sources
            # Who has gone meanwhile, as agents do that ask again, waits no more.
            self._waiters = [each for each in waiters if not each.done()] + self._waiters
            if self._is_closed:
                self._give_up()
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
        self._tell()

    def _give_up(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(self._full())
                waiter.exception()  # not everybody waits for it
        self._events, self._figures, self._sources, self._waiters = [], [], {}, []

    def _write(
        self, events: list[Event], figures: list[Figures], sources: dict[str, tuple[str, int]]
    ) -> None:
        store = self._opened()
        try:
            store.write(events, figures, sources)
        except sqlite3.IntegrityError as error:  # its numbers are given out already
            raise DamagedError(self._path, str(error)) from None
        self._tidy()

    def _opened(self) -> Store:
        if self._store is None:
            raise sqlite3.OperationalError(self.failure or "the store is not open")
        return self._store

    def _tidy(self) -> None:
        self._seal()
        self._trim()

    def _trim(self) -> None:
        """Drop what is too much as fast as it comes, and what is too old a little at a time, so that nobody
        waits long for it.
        """
        store = self._opened()
        now_s = time.monotonic()
        try:
            while store.used_bytes() > self._bounds.size_bytes and (oldest := store.oldest_ms()):
                if not store.drop_before(oldest) or time.monotonic() > now_s + _TRIM_S:
                    break
            if now_s >= self._next_trim_s:
                before_ms = int((time.time() - self._bounds.age_s) * 1000)
                dropped = store.drop_before(before_ms)
                self._next_trim_s = now_s + (0.0 if dropped else TRIM_EVERY_S)
        except sqlite3.Error as error:
            if is_damage(error):
                raise
            _log.warning("what is too old or too much stays for now: %s", error)

    def _seal(self) -> None:
        """Do a piece of what is due; the next one with the next flush."""
        try:
            self._opened().seal()
        except sqlite3.Error as error:  # sealing needs room before it gives some back
            if is_damage(error):
                raise
            _log.warning("ticks stay as they are for now: %s", error)

    # -- what other hubs say ----------------------------------------------------------------

    async def take(self, batches: Sequence[Batch]) -> int:
        """Keep what another hub handed over, and return how many batches were the next of their stream.

        Raises sqlite3.Error: the disk is full; ValueError: it cannot be read.
        """
        at_ms = int(time.time() * 1000)
        taken = await self._guarded(self._writer, lambda: self._take(batches, at_ms))
        for batch in taken:
            self.on_taken(batch)
        if gaps := gaps_of(taken, at_ms):
            self.on_said(gaps, ())
        if taken:
            self._tell()
            await self._guarded(self._writer, self._tidy)
        return len(taken)

    def _take(self, batches: Sequence[Batch], at_ms: int) -> list[Batch]:
        check_foreign(batches)
        return self._opened().take(batches, at_ms)

    async def read(self, look: Callable[[Reading], _Result]) -> _Result:
        """Look at what is on the disk, in the thread for that, and return what `look` does."""
        return await self._guarded(self._reader, lambda: look(self._reading))

    async def positions(self) -> list[Position]:
        """Return how far each origin is known here, on the disk."""
        return await self._read_for_peers(lambda reading: reading.positions())

    async def _read_for_peers(self, look: Callable[[Reading], _Result]) -> _Result:
        """Look in a thread of its own: a peer that waited behind what somebody looks at on the page would
        take this hub for gone.
        """
        if self._for_peers is None:
            return await self.read(look)
        return await self._guarded(self._peers, lambda: look(self._for_peers or self._reading))

    async def after(self, positions: Sequence[Position], most_bytes: int, wait_s: float) -> list[Batch]:
        """Return what follows `positions`; where nothing does, wait for it up to `wait_s`."""
        until_s = time.monotonic() + wait_s
        while True:
            changed = self._changed
            found = await self._read_for_peers(lambda reading: reading.after(positions, most_bytes))
            left_s = until_s - time.monotonic()
            if found or left_s <= 0 or self._hurry.is_set():
                return found
            try:
                await asyncio.wait_for(changed.wait(), left_s)
            except TimeoutError:
                return []

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _in(self, pool: ThreadPoolExecutor, act: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(pool, act)
