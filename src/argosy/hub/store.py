"""The store: a hub's records on disk, in one SQLite file, each written whole or not at all.

One thread writes (`Store`); any number of readers look at what is committed (`Reading`). A commit is on the
disk when `write` or `take` returns, so what a hub has acknowledged or served is never taken back by a loss of
power.
"""

from __future__ import annotations

import itertools
import logging
import operator
import secrets
import sqlite3
import time
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from argosy.fault import Fault
from argosy.hub.record import (
    Batch,
    Event,
    EventHead,
    Figures,
    Origin,
    Position,
    Shape,
    Stream,
    Tick,
    gaps_of,
)
from argosy.hub.seal import Sealer
from argosy.hub.storefile import (
    UNREADABLE,
    VERSION,
    DamagedError,
    StoreError,
    Watched,
    open_store,
    unopened,
    what_of,
)
from argosy.hub.tables import add_run, add_shape, drop_runs, runs_of, shapes_of, transaction

_LAST: Final = {Stream.EVENTS: "last_event", Stream.TICKS: "last_tick"}
_GONE: Final = {Stream.EVENTS: "gone_event", Stream.TICKS: "gone_tick"}
DETAIL_S: Final = 3 * 86400.0

_log = logging.getLogger("argosy.hub")
_encode = msgspec.msgpack.Encoder().encode
_decode_tick = msgspec.msgpack.Decoder(Tick).decode
_decode_head = msgspec.msgpack.Decoder(EventHead).decode


class Store:
    """The one writer of a store. Methods raise sqlite3.Error when the disk is full or broken; nothing is then
    kept.

    path: the file, made where it is missing. machine: whose records `write` adds. A store that was not closed
    begins a new epoch: numbers that a loss of power took back are then never given out again with other
    content. detail_s: how old figures may become before a number a minute is enough.
    """

    def __init__(self, path: Path, machine: str, detail_s: float = DETAIL_S) -> None:
        self._base = open_store(path)
        self._path = path
        self._sealer = Sealer(self._base, detail_s)
        self._ids: dict[Origin, int] = {}
        self._numbers: dict[tuple[str, tuple[str, ...]], int] = {}  # of own shapes
        try:
            self._check_version(path)
            self.origin = self._own_origin(machine)
        except sqlite3.OperationalError as error:
            self._base.close()
            raise unopened(path, error) from None
        except UNREADABLE as error:
            self._base.close()
            raise DamagedError(path, what_of(error)) from None
        self._watched = Watched(path)

    def check(self) -> None:
        """Raise DamagedError where the file is no longer the one that was opened, or damaged at its head."""
        self._watched.check()

    def close(self) -> None:
        """Close the file; the next writer goes on in this epoch, where the disk takes that word."""
        try:
            with transaction(self._base):
                self._set_fact("epoch", self.origin.epoch)
        except sqlite3.Error as error:
            _log.warning("the next life of this store begins another epoch: %s", error)
        finally:
            self._base.close()

    # -- own records ------------------------------------------------------------------------

    def write(
        self,
        events: Sequence[Event],
        figures: Sequence[Figures] = (),
        sources: dict[str, tuple[str, int]] | None = None,
    ) -> Position:
        """Append what this machine has to say, and return how far its log goes now.

        figures: one tick of them. sources: name to (life, number), how far each source has been heard with
        this.
        """
        origin = self._ids[self.origin]
        numbers = dict(self._numbers)
        with transaction(self._base):
            last_event = self._append(origin, events)
            _, last_tick = self._lasts(origin)
            if figures:
                last_tick += 1
                tick = _tick_of(figures, numbers)
                self._add_tick(origin, last_tick, tick, _encode(tick))
                self._base.execute("UPDATE origin SET last_tick = ? WHERE id = ?", (last_tick, origin))
            self._base.executemany(
                "INSERT INTO source VALUES (?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET life = excluded.life, number = excluded.number",
                [(name, life, number) for name, (life, number) in (sources or {}).items()],
            )
        self._numbers = numbers  # now that they are on the disk
        return Position(self.origin, last_event, last_tick)

    def _append(self, origin: int, events: Sequence[Event]) -> int:
        """Add this machine's next events, and return the number of the last one that there is."""
        last, _ = self._lasts(origin)
        numbered = enumerate(events, last + 1)
        self._add_events(origin, ((number, event, _encode(event)) for number, event in numbered))
        last += len(events)
        self._base.execute("UPDATE origin SET last_event = ? WHERE id = ?", (last, origin))
        return last

    # -- others' records --------------------------------------------------------------------

    def take(self, batches: Iterable[Batch], at_ms: int | None = None) -> list[Batch]:
        """Keep what other origins said, in one go, and return those batches that were the next of their
        stream.

        A run of which some ticks are here already takes their place. What the sender had no more is an event
        of this machine, with what is taken in its place: otherwise nobody would ask for it again, nor know.
        at_ms: when that is, now if it is left out.
        """
        with transaction(self._base):
            taken = [batch for batch in batches if self._take(batch)]
            if gaps := gaps_of(taken, int(time.time() * 1000) if at_ms is None else at_ms):
                self._append(self._ids[self.origin], gaps)
        return taken

    def _take(self, batch: Batch) -> bool:
        if batch.origin == self.origin:
            return False
        origin = self._id_of(batch.origin)
        last = self._lasts(origin)[batch.stream]
        is_next = batch.first == last + 1 or (batch.run is not None and batch.first <= last < batch.last)
        if not is_next:
            return False
        if batch.is_lost:
            self._forget(origin, batch)
        elif batch.run is not None:
            add_run(self._base, origin, batch.run, batch.columns)
        else:
            self._add_rows(origin, batch)
        self._base.execute(f"UPDATE origin SET {_LAST[batch.stream]} = ? WHERE id = ?", (batch.last, origin))
        return True

    def _forget(self, origin: int, batch: Batch) -> None:
        for shape in batch.shapes:
            add_shape(self._base, origin, shape)
        self._base.execute(f"UPDATE origin SET {_GONE[batch.stream]} = ? WHERE id = ?", (batch.last, origin))

    def _add_rows(self, origin: int, batch: Batch) -> None:
        if len(batch.rows) != batch.last - batch.first + 1:
            raise ValueError(f"a batch of {batch.first} to {batch.last} has {len(batch.rows)} rows")
        numbered = enumerate(batch.rows, batch.first)
        if batch.stream is Stream.EVENTS:
            self._add_events(origin, ((number, _decode_head(row), row) for number, row in numbered))
        else:
            for number, row in numbered:
                self._add_tick(origin, number, _decode_tick(row), row)

    def seal(self) -> bool:
        """Do a piece of what turns ticks into few bytes; return whether there was anything to do."""
        return self._sealer.step()

    # -- bounds -----------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """Return how much of the file is in use; what was freed is used again before the file grows."""
        (pages,) = self._base.execute("PRAGMA page_count").fetchone()
        (free,) = self._base.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._base.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * size)

    def oldest_ms(self) -> int | None:
        """Return before when the oldest part of what can be dropped ends: a segment, or a thousand events."""
        (found,) = self._base.execute(
            "SELECT min(ms) FROM (SELECT min(last_ms) AS ms FROM run "
            "UNION SELECT max(time_ms) FROM (SELECT time_ms FROM event ORDER BY time_ms LIMIT 1000))"
        ).fetchone()
        return None if found is None else int(found) + 1

    def drop_before(self, time_ms: int, most: int = 20) -> int:
        """Drop what ends before a time, the oldest first; return how many rows and runs went.

        At most `most` runs, and thousands of events, of each origin: call again while something goes. What
        went is remembered by its number, and told to hubs that ask for it later.
        """
        dropped = 0
        with transaction(self._base):
            for (origin,) in self._base.execute("SELECT id FROM origin").fetchall():
                dropped += self._drop_runs(origin, time_ms, most)
                dropped += self._drop_events(origin, time_ms, 1000 * most)
        return dropped

    def _drop_runs(self, origin: int, time_ms: int, most: int) -> int:
        runs = runs_of(self._base, origin)
        going = list(itertools.takewhile(lambda run: run.last_ms < time_ms, runs[:most]))
        if going:
            drop_runs(self._base, origin, going)
            gone = going[-1].ticks()[1]
            self._base.execute("UPDATE origin SET gone_tick = ? WHERE id = ?", (gone, origin))
        return len(going) or (0 if runs else self._drop_rest(origin, time_ms))

    def _drop_rest(self, origin: int, time_ms: int) -> int:
        """Drop the ticks of a life that ended before its last segment was whole."""
        found = self._base.execute(
            "SELECT number, row FROM tick WHERE origin = ? ORDER BY number DESC LIMIT 1", (origin,)
        ).fetchone()
        if found is None or origin == self._ids[self.origin] or _decode_tick(found[1]).time_ms >= time_ms:
            return 0
        self._base.execute("DELETE FROM tick WHERE origin = ?", (origin,))
        self._base.execute("UPDATE origin SET gone_tick = ? WHERE id = ?", (found[0], origin))
        return 1

    def _drop_events(self, origin: int, time_ms: int, most: int) -> int:
        (kept,) = self._base.execute(
            "SELECT min(number) FROM event WHERE origin = ? AND time_ms >= ?", (origin, time_ms)
        ).fetchone()
        first, last = self._base.execute(
            "SELECT min(number), max(number) FROM event WHERE origin = ?", (origin,)
        ).fetchone()
        if first is None:
            return 0
        gone = min(last if kept is None else kept - 1, first + most - 1)
        if gone < first:
            return 0
        self._base.execute("DELETE FROM event WHERE origin = ? AND number <= ?", (origin, gone))
        self._base.execute("UPDATE origin SET gone_event = ? WHERE id = ?", (gone, origin))
        return int(gone - first + 1)

    # -- rows -------------------------------------------------------------------------------

    def _add_events(self, origin: int, events: Iterable[tuple[int, Event | EventHead, bytes]]) -> None:
        self._base.executemany(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)",
            (
                (origin, number, event.time_ms, event.kind, event.subject, row)
                for number, event, row in events
            ),
        )

    def _add_tick(self, origin: int, number: int, tick: Tick, row: bytes) -> None:
        for shape in tick.shapes:
            add_shape(self._base, origin, shape)
        self._base.execute("INSERT INTO tick VALUES (?, ?, ?)", (origin, number, row))

    # -- origins ----------------------------------------------------------------------------

    def _lasts(self, origin: int) -> tuple[int, int]:
        found = self._base.execute(
            "SELECT last_event, last_tick FROM origin WHERE id = ?", (origin,)
        ).fetchone()
        if found is None or not all(isinstance(each, int) for each in found):
            raise DamagedError(self._path, f"the last numbers of an origin are {found}")
        events, ticks = found
        return events, ticks

    def _id_of(self, origin: Origin) -> int:
        known = self._ids.get(origin)
        if known is not None:
            return known
        self._base.execute(
            "INSERT OR IGNORE INTO origin (machine, epoch, began_ms) VALUES (?, ?, ?)",
            (origin.machine, origin.epoch, origin.began_ms),
        )
        (known,) = self._base.execute(
            "SELECT id FROM origin WHERE machine = ? AND epoch = ?", (origin.machine, origin.epoch)
        ).fetchone()
        return int(known)

    def _own_origin(self, machine: str) -> Origin:
        """Go on in the epoch that was closed, or begin one; in either case it counts as not closed from now
        on.
        """
        epoch = self._fact("epoch")
        if epoch and not self._reopen():
            epoch = None
        with transaction(self._base):
            found = (
                epoch
                and self._base.execute(
                    "SELECT began_ms FROM origin WHERE machine = ? AND epoch = ?", (machine, epoch)
                ).fetchone()
            )
            if found:
                origin = Origin(machine, str(epoch), found[0])
            else:
                origin = Origin(machine, secrets.token_hex(8), int(time.time() * 1000))
            known = self._ids[origin] = self._id_of(origin)
            self._numbers = {
                (stored.shape.agent, stored.shape.names): number
                for number, stored in shapes_of(self._base, known).items()
            }
        return origin

    def _reopen(self) -> bool:
        """Take back that the store was closed; return whether no loss can bring that word back.

        It must not stand in the file with its denial in the log beside it: what tears the log would take both
        the denial and the records that follow, and their numbers would be given out again.
        """
        with transaction(self._base):
            self._base.execute("DELETE FROM fact WHERE name = 'epoch'")
        (is_busy, _, _) = self._base.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        return not is_busy

    def _check_version(self, path: Path) -> None:
        version = self._fact("version")
        if version is None:
            with transaction(self._base):
                self._set_fact("version", VERSION)
        elif not version.isdigit():
            raise DamagedError(path, f"its version is `{version}`")
        elif version != VERSION:
            self._base.close()
            raise StoreError(
                Fault(
                    str(path),
                    "store-version",
                    f"the store is of version {version}, this argosy reads {VERSION}",
                    f"move it away: `mv {path} {path}.{version}`",
                )
            )

    def _fact(self, name: str) -> str | None:
        found = self._base.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def _set_fact(self, name: str, value: str) -> None:
        self._base.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))


def _tick_of(figures: Sequence[Figures], numbers: dict[tuple[str, tuple[str, ...]], int]) -> Tick:
    """Return what arrived as a tick; a shape that is new is added to `numbers`."""
    shapes = []
    listed = []
    for each in figures:
        key = each.agent, each.names
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(numbers)
            shapes.append(Shape(number, each.agent, each.names))
        listed.append((number, each))
    listed.sort(key=operator.itemgetter(0))
    return Tick(
        int(time.time() * 1000),
        tuple(shapes),
        array("I", [number for number, _ in listed]).tobytes(),
        array("d", [each.time_ms for _, each in listed]).tobytes(),
        b"".join([each.values for _, each in listed]),
    )
