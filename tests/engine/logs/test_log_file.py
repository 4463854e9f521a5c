"""Log files and their index: whole lines, their times, process starts, and torn writes."""

from __future__ import annotations

import asyncio
import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.logs.log_file import (
    LogMark,
    append_marks,
    escape_control,
    index_path,
    most_relevant_line,
    open_log,
    read_marks,
)
from argosy.engine.logs.log_keeper import LogKeeper
from argosy.engine.logs.log_reader import LogReader, find_tail_offset
from argosy.engine.logs.log_watch import LogWatch
from argosy.fault import MissingError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "A.b-c.log"


def texts(reader: LogReader) -> list[str]:
    return [f"<{line.process_start_pid}>" if line.process_start_pid else line.text for line in reader.read()]


def test_log_reader_reads_only_whole_lines_once(log: Path) -> None:
    reader = LogReader("A", log)
    assert texts(reader) == []
    log.write_bytes(b"one\ntw")
    assert texts(reader) == ["one"]
    log.write_bytes(b"one\ntwo\n")
    assert texts(reader) == ["two"]
    assert texts(reader) == []


def test_log_reader_keeps_carriage_returns_within_lines(log: Path) -> None:
    log.write_bytes(b"10%\r20%\r100%\ndone\r\n")
    assert texts(LogReader("A", log)) == ["10%\r20%\r100%", "done"]


def test_process_start_ends_unfinished_line_of_previous_process(log: Path) -> None:
    log.write_bytes(b"first\nunfinished")
    append_marks(log, LogMark(1.0, 0, 11))
    append_marks(log, LogMark(2.0, 16, 12))
    reader = LogReader("A", log)
    assert texts(reader) == ["<11>", "first", "unfinished"]
    with open(log, "ab") as file:
        file.write(b"second\n")
    append_marks(log, LogMark(3.0, 23))
    assert texts(reader) == ["<12>", "second"]


def test_log_line_has_time_of_first_mark_after_it(log: Path) -> None:
    log.write_bytes(b"a\nb\nc\n")
    append_marks(log, LogMark(1.0, 2))
    append_marks(log, LogMark(2.0, 6))
    assert [(line.text, line.at_s) for line in LogReader("A", log).read()] == [
        ("a", 1.0),
        ("b", 2.0),
        ("c", 2.0),
    ]


def test_torn_mark_does_not_shift_later_marks(log: Path) -> None:
    append_marks(log, LogMark(1.0, 2))
    with open(index_path(log), "ab") as file:
        file.write(b"torn")
    assert read_marks(log) == [LogMark(1.0, 2)]
    append_marks(log, LogMark(2.0, 6, 7))
    assert read_marks(log) == [LogMark(1.0, 2), LogMark(2.0, 6, 7)]


@given(
    st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=40), st.integers(0, 45)
)
def test_tail_offset_gives_last_n_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], n: int
) -> None:
    log = tmp_path_factory.mktemp("tail") / "A.log"
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    tail = log.read_bytes()[find_tail_offset(log, n) :]
    assert tail == b"".join(line + b"\n" for line in lines[max(0, len(lines) - n) :])


@given(
    st.binary(max_size=200),
    st.lists(st.integers(0, 220), max_size=5),
    st.lists(st.integers(0, 200), max_size=3),
)
def test_log_reader_reads_each_byte_once_as_log_grows(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start_offsets: list[int], cuts: list[int]
) -> None:
    log = tmp_path_factory.mktemp("grow") / "A.log"
    for pid, offset in enumerate(sorted(set(start_offsets)), 1):
        append_marks(log, LogMark(float(pid), offset, pid))
    reader, pieces = LogReader("A", log), []
    for end in [*sorted(cuts), len(data)]:
        log.write_bytes(data[:end])
        pieces += [line for line in reader.read() if not line.process_start_pid]
    assert [line.text for line in pieces] == [
        piece.rstrip(b"\r\n").decode(errors="replace") for piece in cut_at(data, start_offsets)
    ]


def cut_at(data: bytes, start_offsets: list[int]) -> list[bytes]:
    """Return the pieces that end with a line feed or at a seam, the plain way."""
    ends = sorted(
        {at + 1 for at, byte in enumerate(data) if byte == 0x0A}
        | {s for s in start_offsets if s <= len(data)}
    )
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]


def test_most_relevant_line_is_last_nonempty_line(log: Path) -> None:
    assert most_relevant_line(log, 0) == ""
    log.write_bytes(b"x\n  logged  \n\n")
    assert most_relevant_line(log, 0) == "logged"


def test_log_watch_reports_grown_logs(tmp_path: Path) -> None:
    async def watch() -> set[str]:
        reported: set[str] = set()
        done = asyncio.Event()

        def grown(logs: list[Path]) -> None:
            reported.update(log.name for log in logs)
            if len(reported) == 2:
                done.set()

        watching = LogWatch(tmp_path, asyncio.get_running_loop(), grown)
        for name in ("A.log", "B.log", "B.idx"):
            (tmp_path / name).write_bytes(b"x\n")
        async with asyncio.timeout(20):
            await done.wait()
        watching.close()
        return reported

    assert asyncio.run(watch()) == {"A.log", "B.log"}


def test_log_keeper_marks_process_start_at_first_output_once(tmp_path: Path) -> None:
    log = tmp_path / "A.log"

    async def grow() -> list[LogMark]:
        log_keeper = LogKeeper(tmp_path, asyncio.get_running_loop())
        log.write_bytes(b"before\n")
        log_keeper.expect_process_output(log, LogMark(5.0, 7, 42))
        quiet = read_marks(log)
        with open(log, "ab") as file:
            file.write(b"after\n")
        async with asyncio.timeout(20):
            while not any(mark.offset == 13 for mark in read_marks(log)):
                await asyncio.sleep(0.001)
        log_keeper.close()
        return quiet

    assert not any(mark.pid for mark in asyncio.run(grow()))
    assert [mark for mark in read_marks(log) if mark.pid] == [LogMark(5.0, 7, 42)]
    assert read_marks(log)[-1].offset == 13


def test_log_keeper_marks_unmarked_start_of_adopted_process_once(tmp_path: Path) -> None:
    log = tmp_path / "A.log"
    log.write_bytes(b"before\nafter\n")

    async def adopt() -> None:
        log_keeper = LogKeeper(tmp_path, asyncio.get_running_loop())
        log_keeper.expect_adopted_output(log, LogMark(5.0, 7, 42))
        log_keeper.expect_adopted_output(log, LogMark(6.0, 7, 42))
        log_keeper.close()

    asyncio.run(adopt())
    assert read_marks(log) == [LogMark(5.0, 7, 42)]


def test_log_watch_names_missing_directory(tmp_path: Path) -> None:
    async def watch() -> None:
        LogWatch(tmp_path / "none", asyncio.get_running_loop(), lambda _: None)

    with pytest.raises(MissingError, match="none"):
        asyncio.run(watch())


def test_log_file_is_readable_only_by_owner(log: Path) -> None:
    os.close(open_log(log))
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("logged", "relevant"),
    [
        ("starts\nerror: no `--voic`\nhint: its options are `--port`\n", "no `--voic`"),
        ("error: first\nerror: second\nhint: both\n", "first"),
        ("error: long ago\nTraceback\nKeyError: 'x'\n", "KeyError: 'x'"),
        ("failed to load\nhint: look there\n", "failed to load"),
        ("hint: only this\n", ""),
    ],
)
def test_most_relevant_line_is_error_not_hint(log: Path, logged: str, relevant: str) -> None:
    log.write_text("error: of an earlier start\n" + logged)
    assert most_relevant_line(log, len("error: of an earlier start\n")) == relevant


def is_harmless(text: str) -> bool:
    return all(char == "\t" or unicodedata.category(char) != "Cc" for char in text)


@given(st.text(st.characters(max_codepoint=0x17F), max_size=60))
def test_escape_control_leaves_no_control_character(text: str) -> None:
    assert is_harmless(escape_control(text))
    assert is_harmless(re.sub(r"\033\[[0-9;]*m", "", escape_control(text, keep_colours=True)))


@given(st.text(st.characters(categories=("L", "N", "P", "Zs"))))
def test_escape_control_keeps_plain_text(text: str) -> None:
    assert escape_control(text) == escape_control(text, keep_colours=True) == text


def test_escape_control_shows_commands_and_resets_colours() -> None:
    line = "a\033]0;title\007b\033[2Jc\033[31mred\x9b2J\x7f"
    assert escape_control(line) == "a^[]0;title^Gb^[[2Jcred" + "M-^[2J^?"
    assert escape_control(line, keep_colours=True) == "a^[]0;title^Gb^[[2Jc\033[31mredM-^[2J^?\033[0m"
