"""Power loss: the store opens and continues after a torn write-ahead log or an unfinished checkpoint."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.hub.store.record_store import RecordStore
from argosy.hub.store.records import RecordOrigin, StreamPosition
from argosy.hub.store.store_reader import StoreReader

from .test_record_store import NO_EXPIRY, event, figures

COMMITS: Final = 24
MANY: Final = 200  # commits that make the file longer
PAGE: Final = 4096
HEAD: Final = 32  # of the log; then frames, each with a head of its own
FRAME: Final = 24 + PAGE
LAST: Final = 4 * FRAME  # the end of the log that a loss of power most likely hits


class Image(NamedTuple):
    """A store as the disk has it while its hub runs: the file, the log, and where in it each commit ends.

    safe: commits that are in the file, whatever becomes of the log.
    """

    origin: RecordOrigin
    file: bytes
    log: bytes
    safe: int
    ends: list[int]

    def __repr__(self) -> str:
        return f"<{self.safe} commits in the file, {len(self.ends)} in a log of {len(self.log)} bytes>"

    def kept(self, whole: int) -> int:
        """Return how many commits there are if the first `whole` bytes of the log are what they were."""
        return self.safe + sum(end <= whole for end in self.ends)


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def commit_ends(log: bytes) -> list[int]:
    """Return where each commit of a log ends; what is left of earlier use of the file has other salts."""
    ends = []
    for at in range(HEAD, len(log), FRAME):
        if log[at + 8 : at + 16] != log[16:24]:
            break
        if struct.unpack_from(">I", log, at + 4)[0]:  # the pages of the whole file, at the end of a commit
            ends.append(at + FRAME)
    return ends


@contextmanager
def running(path: Path) -> Iterator[RecordStore]:
    """Yield a store in an epoch that was closed in order once."""
    RecordStore(path, "mainpc", NO_EXPIRY).close()
    store = RecordStore(path, "mainpc", NO_EXPIRY)
    store._database.execute("PRAGMA synchronous = OFF")  # the power is lost by hand
    try:
        yield store
    finally:
        store._database.close()


def write(store: RecordStore, first: int, last: int) -> None:
    for number in range(first, last + 1):
        store.append([event(number)], [figures(number)])


def image(path: Path, safe: int) -> Image:
    with running(path) as store:
        write(store, 1, safe)
        if safe:
            store._database.execute("PRAGMA wal_checkpoint(RESTART)")
        write(store, safe + 1, COMMITS)
        log = log_of(path).read_bytes()
        return Image(store.origin, path.read_bytes(), log, safe, commit_ends(log)[safe - COMMITS :])


@pytest.fixture(scope="module", params=[0, 18], ids=["first use", "used again"])
def disk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A store in use; once with a log that began again, so that old frames are behind its end."""
    made = image(tmp_path_factory.mktemp("power") / "hub.db", request.param)
    assert len(made.ends) == COMMITS - made.safe
    assert (made.ends[-1] < len(made.log)) == bool(made.safe)
    return made


@pytest.fixture(scope="module")
def peer(disk: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A hub's store that had all of it before the power went."""
    path = tmp_path_factory.mktemp("peer") / "peer.db"
    ours = path.with_name("ours.db")
    ours.write_bytes(disk.file)
    log_of(ours).write_bytes(disk.log)
    with closing(RecordStore(path, "pc2", NO_EXPIRY)) as store, closing(StoreReader(ours)) as reading:
        store.store_batches(reading.records_after([]))
    return path


def opened_after(file: bytes, log: bytes, look: Callable[[RecordStore, StoreReader], None]) -> None:
    """Open what a loss of power left, as the next hub does, and look at it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder, "hub.db")
        path.write_bytes(file)
        log_of(path).write_bytes(log)
        with closing(RecordStore(path, "mainpc", NO_EXPIRY)) as store, closing(StoreReader(path)) as reading:
            assert store._database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            look(store, reading)


def numbers(reading: StoreReader) -> list[int]:
    return [happened.event.body["number"] for happened in reading.events()][::-1]


def check(disk: Image, log: bytes, kept: int, peer: Path) -> None:
    """Of a torn log exactly what was whole is there; what is written next is told to peers as another
    epoch's; and a peer gives back what it had.
    """

    def look(store: RecordStore, reading: StoreReader) -> None:
        assert numbers(reading) == list(range(1, kept + 1))
        assert list(reading.series("A", "handled", 0, 1 << 60)[1]) == numbers(reading)
        assert store.origin.epoch != disk.origin.epoch
        assert store.append([event(999)], [figures(999)]) == StreamPosition(store.origin, 1, 1)
        told = {batch.origin: batch.last for batch in reading.records_after([])}
        assert told[store.origin] == 1
        assert told.get(disk.origin, 0) == kept
        with closing(StoreReader(peer)) as theirs:
            store.store_batches(theirs.records_after(reading.positions()))
        assert numbers(reading) == [*range(1, COMMITS + 1), 999]
        assert list(reading.series("A", "handled", 0, 1 << 60)[1]) == numbers(reading)

    opened_after(disk.file, log, look)


BACK = st.integers(0, LAST) | st.integers(0, 1 << 24)  # bytes before the end, mostly of the last pages


@given(back=BACK)
@settings(deadline=None, max_examples=20)
def test_store_recovers_whole_commits_of_truncated_wal(disk: Image, peer: Path, back: int) -> None:
    end = disk.ends[-1]
    cut = end - back % (end + 1)
    check(disk, disk.log[:cut], disk.kept(cut), peer)


@given(flips=st.dictionaries(BACK, st.integers(1, 255), min_size=1, max_size=4))
@settings(deadline=None, max_examples=20)
def test_store_recovers_commits_before_flipped_bits_of_wal(
    disk: Image, peer: Path, flips: dict[int, int]
) -> None:
    log = bytearray(disk.log)
    places = {(disk.ends[-1] - 1 - back) % len(log): bits for back, bits in flips.items()}
    for at, bits in places.items():
        log[at] ^= bits
    check(disk, bytes(log), disk.kept(min(places)), peer)


class Pages(NamedTuple):
    """The pages of a file before a checkpoint and after it, and the log that was written into it."""

    before: list[bytes]
    after: list[bytes]
    log: bytes

    def __repr__(self) -> str:
        return f"<{len(self.before)} pages, then {len(self.after)}>"


def pages(of: bytes) -> list[bytes]:
    return [of[at : at + PAGE] for at in range(0, len(of), PAGE)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    path = tmp_path_factory.mktemp("checkpoint") / "hub.db"
    with running(path) as store:
        write(store, 1, MANY)
        before, log = path.read_bytes(), log_of(path).read_bytes()
        store._database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return Pages(pages(before), pages(path.read_bytes()), log)


@given(bits=st.integers(0, (1 << 64) - 1))
@settings(deadline=None, max_examples=12)
def test_store_loses_no_record_after_partial_checkpoint(checkpoint: Pages, bits: int) -> None:
    before, after, log = checkpoint
    assert len(before) < len(after) <= 64
    written = {at for at in range(64) if bits >> at & 1}
    old = [*before, *[bytes(PAGE)] * (len(after) - len(before))]
    mixed = b"".join(after[at] if at in written else page for at, page in enumerate(old))

    def look(store: RecordStore, reading: StoreReader) -> None:
        assert numbers(reading) == list(range(1, MANY + 1))
        assert list(reading.series("A", "handled", 0, 1 << 60)[1]) == numbers(reading)

    opened_after(mixed, log, look)
