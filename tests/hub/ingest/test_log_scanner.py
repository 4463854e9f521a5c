"""Log scanning: errors and warnings of agents are stored once, and log floods are rate-limited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy.engine.cells.cell_logs import LogSources
from argosy.engine.logs.log_reader import LogLine
from argosy.hub.ingest.log_scanner import BURST, EVENTS_PER_S, LineParser, LogEvent, LogScanner, RateLimiter
from argosy.hub.store.store_reader import StoredEvent
from argosy.hub.store.store_writer import StoreWriter


def parse_lines(*texts: str) -> list[LogEvent]:
    listener = LineParser()
    found = [each for text in texts for each in listener.feed(LogLine(1.0, "A", text))]
    return [*found, *listener.finish()]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2026-01-01 10:00:00 WARNING disk is nearly full", "warning"),
        ("[WARN] slow", "warning"),
        ("ERROR:root:no answer", "error"),
        ('{"time": 1, "level": "fatal", "message": "over"}', "critical"),
        ("INFO all is well, no error", None),
        ("forewarned is forearmed", None),
    ],
)
def test_line_parser_selects_lines_by_level(text: str, level: str | None) -> None:
    assert [each.level for each in parse_lines(text)] == ([level] if level else [])


def test_line_parser_joins_traceback_into_one_event() -> None:
    trace = [
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "    f()",
        "ValueError: no",
    ]
    assert [each.text for each in parse_lines("before", *trace, "after")] == ["\n".join(trace)]
    assert [each.text for each in parse_lines(*trace[:3])] == ["\n".join(trace[:3])]


def test_rate_limiter_keeps_first_lines_of_flood_and_counts_dropped_ones() -> None:
    allowance = RateLimiter("A", 0.0)
    flood = [LogEvent("A", 1.0, "error", str(number)) for number in range(1000)]
    events = allowance.admit(flood, 0.0)
    assert [event.body.get("text") for event in events] == [str(number) for number in range(BURST)]
    assert allowance.admit([], 0.1) == []
    told = allowance.admit([], 1 / EVENTS_PER_S)
    assert [(event.kind, event.subject, event.body["lines"]) for event in told] == [
        ("log-rate-limited", "A", 1000 - BURST)
    ]


def test_log_scanner_reports_skipped_bytes_of_fast_growing_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "A.log"
    log.write_text("")
    module = "argosy.hub.ingest.log_scanner"
    monkeypatch.setattr(f"{module}.find_log_sources", lambda _: LogSources({"A": log}, {}))
    monkeypatch.setattr(f"{module}.SCAN_EVERY_S", 0.01)
    flood = "INFO nothing to keep\n" * 200_000  # more than one scan reads
    size = len(flood) + len("ERROR the last line\n")

    async def follow() -> list[StoredEvent]:
        writer = StoreWriter(tmp_path / "hub.db", "mainpc", flush_s=0.01)
        running = asyncio.ensure_future(LogScanner(writer, tmp_path).run())
        async with asyncio.timeout(30):
            while writer.source_position("log:A") == ("", 0):
                with log.open("a") as file:
                    file.write("ERROR the first line\n")
                await asyncio.sleep(0.05)
            first = log.stat().st_size
            log.write_bytes(log.read_bytes() + f"{flood}ERROR the last line\n".encode())
            while True:
                events = await writer.read(lambda reader: reader.events())
                if any(each.event.body.get("text") == "ERROR the last line" for each in events):
                    break
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await writer.close()
        assert log.stat().st_size == first + size
        return events

    skipped = [
        each.event.body["bytes"] for each in asyncio.run(follow()) if each.event.kind == "log-rate-limited"
    ]
    assert sum(skipped) > 0
    assert sum(skipped) < size


def test_log_scanner_stores_each_line_once_across_restart_and_skips_old_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "A.log"
    log.write_text("ERROR of long ago\n")
    monkeypatch.setattr(
        "argosy.hub.ingest.log_scanner.find_log_sources", lambda _: LogSources({"A": log}, {})
    )
    monkeypatch.setattr("argosy.hub.ingest.log_scanner.SCAN_EVERY_S", 0.01)

    async def follow(say: Callable[[], object], wanted: int) -> list[StoredEvent]:
        event_writer = StoreWriter(tmp_path / "hub.db", "mainpc", flush_s=0.01)
        scanner = LogScanner(event_writer, None)  # type: ignore[arg-type] - only `find_sources` asks for it
        running = asyncio.ensure_future(scanner.run())
        async with asyncio.timeout(30):
            while scanner._is_first_scan:
                await asyncio.sleep(0.01)
            say()
            while len(found := await event_writer.read(lambda reading: reading.events())) < wanted:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await event_writer.close()
        return found

    def add(text: str) -> None:
        with log.open("a") as file:
            file.write(text)

    first = asyncio.run(follow(lambda: add("INFO x\nERROR one\n"), 1))
    add("ERROR while no hub was there\n")
    second = asyncio.run(follow(lambda: add("ERROR three\n"), 3))
    texts = [each.event.body["text"] for each in sorted(second, key=lambda each: each.number)]
    assert [each.event.body["text"] for each in first] == ["ERROR one"]
    assert sorted(texts) == ["ERROR one", "ERROR three", "ERROR while no hub was there"]
