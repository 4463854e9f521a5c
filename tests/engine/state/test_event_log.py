"""Event log: reads after a crash, a full disk, a rotation, and from earlier and later versions."""

from __future__ import annotations

import os
from binascii import crc32
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.state.event_log import EventLog, EventLogFollower, read_event_log, rotated_path


def note(path: Path, *kinds: str) -> None:
    diary = EventLog(path)
    for kind in kinds:
        diary.append(kind, agent="A", text="ü")
    diary.close()


@given(st.integers(0, 400), st.binary(max_size=30))
def test_event_log_loses_only_torn_tail(
    tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    path = tmp_path_factory.mktemp("diary") / "diary"
    note(path, "one", "two", "three")
    whole = path.read_bytes()
    kept = whole[: max(0, len(whole) - cut)]
    path.write_bytes(kept + garbage)
    left = kept.count(b"\n")
    assert [entry.kind for entry in read_event_log(path)][:left] == ["one", "two", "three"][:left]
    note(path, "four")
    entries = list(read_event_log(path))
    assert [entry.kind for entry in entries] == [*["one", "two", "three"][:left], "four"]
    assert [entry.sequence for entry in entries] == sorted({entry.sequence for entry in entries})


@given(st.binary(max_size=300))
def test_event_log_reader_accepts_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("diary") / "diary"
    path.write_bytes(data)
    assert list(read_event_log(path)) == []


def test_event_log_reader_and_follower_translate_old_event_kinds(tmp_path: Path) -> None:
    path = tmp_path / "event-log"
    note(path, "order", "distant", "hub", "state")
    expected = ["spawn-requested", "remote-state", "hub-started", "state"]
    assert [entry.kind for entry in read_event_log(path)] == expected
    assert [entry.kind for entry in EventLogFollower(path).read()] == expected


def test_missing_event_log_reads_as_empty(tmp_path: Path) -> None:
    assert list(read_event_log(tmp_path / "none")) == []


def test_event_log_counts_dropped_events_and_keeps_others_on_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "diary"
    diary = EventLog(path)
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2])

    def none(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    diary.append("before")
    monkeypatch.setattr(os, "write", half)
    diary.append("half")
    monkeypatch.setattr(os, "write", none)
    diary.append("none")
    monkeypatch.setattr(os, "write", real)
    diary.append("after")
    diary.close()
    assert diary.dropped_count == 2
    assert [entry.kind for entry in read_event_log(path)] == ["before", "after"]


def test_event_log_rotates_once_and_continues_sequence_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.engine.state.event_log._MAX_BYTES", 1000)
    path = tmp_path / "diary"
    note(path, *map(str, range(50)))
    assert path.stat().st_size + rotated_path(path).stat().st_size <= 2500
    note(path, "last")
    entries = list(read_event_log(path))
    assert [entry.kind for entry in entries] == [*map(str, range(51 - len(entries), 50)), "last"]
    assert [entry.sequence for entry in entries] == list(range(52 - len(entries), 52))


def test_event_log_reads_known_fields_of_later_version(tmp_path: Path) -> None:
    path = tmp_path / "diary"
    body = b'{"version":9,"sequence":4,"at_s":1.0,"mono_s":1.0,"kind":"x","added":{"y":1}}'
    path.write_bytes(b"%08x %s\n" % (crc32(body), body))
    note(path, "next")
    assert [(entry.kind, entry.sequence) for entry in read_event_log(path)] == [("x", 4), ("next", 5)]


@given(st.lists(st.sampled_from(("note", "look", "half", "turn", "delete", "again")), max_size=40))
def test_event_log_follower_reads_every_event(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    path = tmp_path_factory.mktemp("diary") / "diary"
    tail, diary = EventLogFollower(path), EventLog(path)
    told: set[str] = set()
    for number, step in enumerate([*steps, "note", "look"]):
        if step == "note":
            diary.append("order", text=str(number))
        elif step == "half":
            os.write(diary._file, b"half a line")  # as a full disk leaves it
            diary._is_torn = True
        elif step == "turn":
            diary._rotate()
        elif step == "delete":
            path.unlink(missing_ok=True)
            diary = _next(diary, path)
        elif step == "again":
            diary = _next(diary, path)
        else:
            told |= {entry.text for entry in tail.read()}
    assert {entry.text for entry in read_event_log(path)} <= told
    assert tail.read() == []
    tail.close()
    diary.close()


def _next(diary: EventLog, path: Path) -> EventLog:
    diary.close()
    return EventLog(path)


def test_event_log_reader_translates_old_event_kinds(tmp_path: Path) -> None:
    note(tmp_path / "log", "order", "state", "account", "machine-blind")
    kinds = [entry.kind for entry in read_event_log(tmp_path / "log")]
    assert kinds == ["spawn-requested", "state", "apply-summary", "machine-unreachable"]
