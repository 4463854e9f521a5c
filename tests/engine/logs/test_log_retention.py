"""Log retention: which logs are cut, to what size, and what their readers see of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.logs.log_file import _MAX_MARKS, LogMark, append_marks, most_relevant_line, read_marks
from argosy.engine.logs.log_keeper import LogKeeper, trim_log
from argosy.engine.logs.log_reader import LogReader, find_tail_offset
from argosy.engine.logs.log_retention import LogCut, LogLimits, plan_cuts

LIMITS = LogLimits(size_bytes=1000, total_bytes=3000)


@given(st.dictionaries(st.text("abcdef", min_size=1), st.integers(0, 10_000), max_size=8))
def test_planned_cuts_keep_limits_without_needless_cuts(held: dict[str, int]) -> None:
    cuts = plan_cuts(held, LIMITS)
    after = {name: cuts[name].keep_bytes if name in cuts else size for name, size in held.items()}
    assert all(size <= LIMITS.size_bytes for size in after.values())
    assert sum(after.values()) <= LIMITS.total_bytes
    assert all(after[name] < held[name] for name in cuts)
    if max(held.values(), default=0) <= 750 and sum(held.values()) <= 2250:
        assert cuts == {}


def test_log_over_three_quarters_of_limit_is_cut_to_half() -> None:
    cuts = plan_cuts({"at the limit": 750, "beyond it": 751}, LIMITS)
    assert cuts == {"beyond it": LogCut(500, ignore_readers=False)}


def test_logs_over_total_limit_are_cut_to_half_of_total() -> None:
    cuts = plan_cuts({"a": 700, "b": 700, "c": 700, "d": 300}, LIMITS)
    assert {cut.keep_bytes for cut in cuts.values()} == {400}  # 3 * 400 + 300 = 3000 / 2


def test_total_limit_cuts_longest_logs_first_and_ignores_readers() -> None:
    cuts = plan_cuts({"a": 700, "b": 700, "c": 700, "d": 300}, LIMITS)
    assert set(cuts) == {"a", "b", "c"}
    assert all(cut.ignore_readers for cut in cuts.values())
    assert not plan_cuts({"a": 800}, LIMITS)["a"].ignore_readers


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of 4000 numbered lines of 100 bytes."""
    path = tmp_path / "A.log"
    path.write_text("".join(f"{number:099}\n" for number in range(4000)))
    return path


def numbers(reader: LogReader) -> list[int]:
    return [int(line.text) for line in reader.read() if not line.lost_bytes]


def held(log: Path) -> int:
    return log.stat().st_blocks * 512


def test_trim_log_frees_blocks_and_keeps_whole_lines_at_offsets(log: Path) -> None:
    before = log.read_bytes()
    assert trim_log(log, 300_000, ignore_readers=False) == held(log) < 120_000
    assert log.stat().st_size == 400_000
    assert log.read_bytes()[300_000:] == before[300_000:]
    kept = numbers(LogReader("A", log))
    assert kept == list(range(4000 - len(kept), 4000))
    assert 1000 <= len(kept) <= 1042
    assert numbers(LogReader("A", log, find_tail_offset(log, 3))) == [3997, 3998, 3999]
    assert find_tail_offset(log, 10_000) == (4000 - len(kept)) * 100
    assert most_relevant_line(log, 0) == f"{3999:099}"


def test_trim_log_keeps_unread_lines_unless_readers_are_ignored(log: Path) -> None:
    reader = LogReader("A", log)
    lines = reader.read()
    assert int(next(lines).text) == 0
    trim_log(log, 300_000, ignore_readers=False)
    assert held(log) >= 400_000
    trim_log(log, 300_000, ignore_readers=True)
    rest = list(lines)
    assert [int(line.text) for line in rest if not line.lost_bytes] == list(range(1, 4000)), (
        "it had it at hand"
    )
    with open(log, "a") as file:
        file.write(f"{4000:099}\n")
    assert numbers(reader) == [4000]
    reader.close()
    trim_log(log, 300_000, ignore_readers=False)


def test_log_reader_reports_bytes_lost_before_read(log: Path) -> None:
    reader = LogReader("A", log)
    assert numbers(reader) == list(range(4000))
    with open(log, "a") as file:
        file.writelines(f"{number:099}\n" for number in range(4000, 8000))
    trim_log(log, 700_000, ignore_readers=True)
    first, *rest = list(reader.read())
    assert 290_000 < first.lost_bytes <= 300_100
    assert int(rest[0].text) * 100 == 400_000 + first.lost_bytes
    assert len(rest) == 8000 - int(rest[0].text)
    reader.close()


def append(log: Path, first: int, until: int) -> None:
    with open(log, "a") as file:
        file.writelines(f"{number:099}\n" for number in range(first, until))


def test_log_reader_reports_several_cuts_as_one_gap_with_times(log: Path) -> None:
    """Several cuts between two reads are one gap: from the last line read to the first that is kept."""
    append_marks(log, LogMark(10.0, 0))
    append_marks(log, LogMark(20.0, 400_000))
    reader = LogReader("A", log)
    assert len(numbers(reader)) == 4000
    for at_s, first in ((30.0, 4000), (40.0, 8000)):
        append(log, first, first + 4000)
        append_marks(log, LogMark(at_s, (first + 4000) * 100))
        trim_log(log, first * 100 + 300_000, ignore_readers=True)
    first_line, *rest = list(reader.read())
    assert (first_line.lost_since_s, first_line.at_s) == (20.0, 40.0)
    assert first_line.lost_bytes == int(rest[0].text) * 100 - 400_000
    assert not any(line.lost_bytes for line in rest)
    reader.close()


def test_log_reader_reports_trimmed_beginning_with_times(log: Path) -> None:
    append_marks(log, LogMark(10.0, 0))
    append_marks(log, LogMark(20.0, 200_000))
    append_marks(log, LogMark(30.0, 400_000))
    trim_log(log, 300_000, ignore_readers=False)
    first, *rest = list(LogReader("A", log).read())
    assert (first.lost_since_s, first.at_s) == (10.0, 30.0)
    assert first.lost_bytes + 100 * len(rest) == 400_000


def test_log_reader_continues_after_cut_beyond_its_known_end(log: Path) -> None:
    """The rest of the file began after the end that the reader had seen: a read of less than nothing."""
    with open(log, "a") as file:
        file.write("x" * 5_000_000 + "\n")  # more than is read at once
    reader = LogReader("A", log)
    lines = reader.read()
    assert int(next(lines).text) == 0
    with open(log, "a") as file:
        file.write("y" * 5_000_000 + "\n")
    append(log, 4000, 4100)
    trim_log(log, log.stat().st_size - 5000, ignore_readers=True)
    rest = list(lines)
    assert rest[-1].text == f"{4099:099}"
    assert sum(line.lost_bytes > 0 for line in rest) == 1
    reader.close()


def test_log_reader_stops_at_given_byte_limit(log: Path) -> None:
    append(log, 4000, 100_000)
    reader = LogReader("A", log)
    seen: list[int] = []
    parts = 0
    while reader.is_behind or not parts:
        before = len(seen)
        seen += [int(line.text) for line in reader.read(1000)]
        assert 0 < len(seen) - before < 50_000
        parts += 1
    assert seen == list(range(100_000))
    assert parts > 2
    reader.close()


def test_log_reader_reads_recreated_log_from_beginning(log: Path) -> None:
    reader = LogReader("A", log)
    assert len(numbers(reader)) == 4000
    log.unlink()
    log.write_text("7\n")
    assert numbers(reader) == [7]
    reader.close()


def test_log_reader_reads_line_longer_than_chunk_as_one_line(tmp_path: Path) -> None:
    log = tmp_path / "A.log"
    log.write_bytes(b"x" * 9_000_000 + b"\nshort\n")
    assert [len(line.text) for line in LogReader("A", log).read()] == [9_000_000, 5]


def test_log_index_stays_short_and_keeps_process_starts(tmp_path: Path) -> None:
    log = tmp_path / "A.log"
    append_marks(log, LogMark(0.0, 0, 7))
    for number in range(3 * _MAX_MARKS):
        append_marks(log, LogMark(float(number), number + 1))
    marks = read_marks(log)
    assert len(marks) <= _MAX_MARKS
    assert marks[0] == LogMark(0.0, 0, 7)
    assert marks[-1].offset == 3 * _MAX_MARKS
    assert [mark.offset for mark in marks] == sorted(mark.offset for mark in marks)


def test_log_index_of_only_process_starts_stays_short(tmp_path: Path) -> None:
    log = tmp_path / "A.log"
    for number in range(2 * _MAX_MARKS):
        append_marks(log, LogMark(float(number), number, number + 1))
    assert len(read_marks(log)) <= _MAX_MARKS


def test_log_keeper_trims_lines_older_than_age_limit(log: Path) -> None:
    append_marks(log, LogMark(1.0, 300_000))

    async def keep() -> None:
        log_keeper = LogKeeper(log.parent, asyncio.get_running_loop())
        log_keeper.set_limits(LogLimits(age_s=1000.0))
        log_keeper.close()

    asyncio.run(keep())
    kept = numbers(LogReader("A", log))
    assert 1000 <= len(kept) <= 1042


# Writes so many numbered lines of 100 bytes, as fast as it can.
FLOOD = "import sys\nfor n in range(int(sys.argv[1])): sys.stdout.write(f'{n:099}\\n')\n"


@pytest.fixture
def flood(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with open(tmp_path / "A.log", "ab") as file:
        process = subprocess.Popen([sys.executable, "-c", FLOOD, "300000"], stdout=file)
    yield process
    process.kill()
    process.wait()


def test_log_limits_hold_under_flood_and_follower_reads_every_line(
    tmp_path: Path, flood: subprocess.Popen[bytes]
) -> None:
    log = tmp_path / "A.log"
    limits = LogLimits(size_bytes=2 * 2**20, total_bytes=64 * 2**20)
    most = 0

    async def follow() -> int:
        nonlocal most
        log_keeper = LogKeeper(tmp_path, asyncio.get_running_loop())
        log_keeper.set_limits(limits)
        reader, expected = LogReader("A", log), 0
        async with asyncio.timeout(40):
            while expected < 300_000:
                for line in reader.read():
                    assert not line.lost_bytes
                    assert int(line.text) == expected
                    expected += 1
                most = max(most, held(log))
                await asyncio.sleep(0.001)
        reader.close()
        log_keeper.on_growth([log])
        log_keeper.close()
        return expected

    assert asyncio.run(follow()) == 300_000
    assert most <= limits.total_bytes
    assert held(log) <= limits.size_bytes
    assert log.stat().st_size == 30_000_000
