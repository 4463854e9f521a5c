"""Scans the logs of this machine's agents for warnings, errors and tracebacks, and stores them as events.

A rate limit keeps the first lines of a flood and counts the rest. The read position of a log is stored with
the events, so that each is stored once, across restarts.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from argosy.engine.cells.cell_logs import LogSources, find_log_sources
from argosy.engine.logs.log_reader import LogLine, LogReader, find_tail_offset
from argosy.engine.state.state_dir import StateDir
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import StoreFullError, StoreWriter

SCAN_EVERY_S: Final = 1.0
BURST: Final = 30  # events of an agent before the rate limit applies
EVENTS_PER_S: Final = 0.5  # after the burst
MAX_TRACEBACK_LINES: Final = 60
_MAX_LINE_LENGTH: Final = 2000
_MAX_READ_BYTES: Final = 1 << 20  # of a log in one scan; a hub that is further behind skips the rest
_TRACEBACK: Final = "Traceback (most recent call last):"
_LEVEL: Final = re.compile(
    r"\b(WARNING|WARN|ERROR|CRITICAL|FATAL)\b"
    r'|"(?:level|levelname|severity)"\s*:\s*"(warning|warn|error|critical|fatal)"'
)
_LEVEL_NAMES: Final = {"warn": "warning", "fatal": "critical"}


class LogEvent(NamedTuple):
    """A log line, or a traceback as one text."""

    agent: str
    at_s: float
    level: str
    text: str


class LineParser:
    """Finds the relevant lines of one log, of one agent or of the agents of a cell."""

    def __init__(self) -> None:
        self._tracebacks: dict[str, list[LogLine]] = {}

    def feed(self, line: LogLine) -> list[LogEvent]:
        """Return the events that this line completes."""
        traceback = self._tracebacks.get(line.agent)
        if traceback is not None:
            if line.text.startswith((" ", "\t")) and len(traceback) < MAX_TRACEBACK_LINES:
                traceback.append(line)
                return []
            del self._tracebacks[line.agent]
            ends_traceback = not line.text.startswith((" ", "\t"))
            return [_traceback_event([*traceback, line] if ends_traceback else traceback)]
        if line.text.endswith(_TRACEBACK):
            self._tracebacks[line.agent] = [line]
            return []
        found = _LEVEL.search(line.text)
        if not found:
            return []
        level = (found[1] or found[2]).lower()
        return [LogEvent(line.agent, line.at_s, _LEVEL_NAMES.get(level, level), line.text[:_MAX_LINE_LENGTH])]

    def finish(self) -> list[LogEvent]:
        """Return the tracebacks that no further line completed."""
        tracebacks, self._tracebacks = self._tracebacks, {}
        return [_traceback_event(trace) for trace in tracebacks.values()]


class RateLimiter:
    """A token bucket for one agent: `BURST` events, then `EVENTS_PER_S`; the rest is counted and reported."""

    def __init__(self, agent: str, now_s: float) -> None:
        self._agent = agent
        self._tokens = float(BURST)
        self._updated_s = now_s
        self._dropped = 0

    def admit(self, found: Sequence[LogEvent], now_s: float) -> list[HubEvent]:
        """Return the admitted events, preceded by a count of those dropped before. now_s: monotonic."""
        self._tokens = min(float(BURST), self._tokens + EVENTS_PER_S * (now_s - self._updated_s))
        self._updated_s = now_s
        events = []
        if self._dropped and self._tokens >= 1:
            events.append(_rate_limited_event(self._agent, lines=self._dropped))
            self._dropped = 0
            self._tokens -= 1
        kept = found[: int(self._tokens)]
        self._tokens -= len(kept)
        self._dropped += len(found) - len(kept)
        return [*events, *map(_hub_event, kept)]


class LogScanner:
    """Follows the logs of one machine's agents."""

    def __init__(self, writer: StoreWriter, state_dir: StateDir) -> None:
        self._writer = writer
        self._state_dir = state_dir
        self._readers: dict[str, LogReader] = {}
        self._parsers: dict[str, LineParser] = {}
        self._rate_limiters: dict[str, RateLimiter] = {}
        self._is_first_scan = True

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                scanned = await asyncio.to_thread(self._scan)
                appends = [self._append(name, events, at) for name, (events, at) in scanned.items()]
                await asyncio.gather(*appends)
                await asyncio.sleep(SCAN_EVERY_S)
        except asyncio.CancelledError:  # after any other error the task restarts with these readers
            for reader in self._readers.values():
                reader.close()
            raise

    async def _append(self, name: str, events: list[HubEvent], position: tuple[str, int]) -> None:
        try:
            await self._writer.append(events, (), (_source_name(name), *position))
        except StoreFullError:
            pass  # the log keeps them

    def _scan(self) -> dict[str, tuple[list[HubEvent], tuple[str, int]]]:
        """Return the new events and the read position, by log."""
        sources = find_log_sources(self._state_dir)
        scanned = {}
        for name, log in sources.logs.items():
            reader = self._readers.get(name)
            try:
                if reader is None:
                    reader = self._readers[name] = self._open_reader(name, log)
                found, skipped = self._read_new(sources, name, log, reader)
                events = self._rate_limited(found)
                if skipped:
                    events.append(_rate_limited_event(name, bytes=skipped))
                if events:
                    scanned[name] = (events, (_log_incarnation(log), self._readers[name].offset))
            except OSError:  # the log is deleted while it is read
                if reader := self._readers.pop(name, None):
                    reader.close()
        self._is_first_scan = False
        return scanned

    def _open_reader(self, name: str, log: Path) -> LogReader:
        """Return a reader at the stored position; without one, at the end of a log older than the hub."""
        incarnation, offset = self._writer.source_position(_source_name(name))
        if incarnation == _log_incarnation(log) and offset <= log.stat().st_size:
            return LogReader(name, log, offset)
        return LogReader(name, log, log.stat().st_size if self._is_first_scan else 0)

    def _read_new(
        self, sources: LogSources, name: str, log: Path, reader: LogReader
    ) -> tuple[list[LogEvent], int]:
        """Return the relevant new lines and the number of bytes skipped."""
        parser = self._parsers.setdefault(name, LineParser())
        lines = [line for line in sources.read(reader, [], _MAX_READ_BYTES) if line.text]
        found = [each for line in lines for each in parser.feed(line)]
        if not lines:
            found += parser.finish()
        if not reader.is_behind:
            return found, 0
        before = reader.offset
        reader.close()
        self._readers[name] = LogReader(name, log, find_tail_offset(log, MAX_TRACEBACK_LINES))
        return found, max(0, self._readers[name].offset - before)

    def _rate_limited(self, found: list[LogEvent]) -> list[HubEvent]:
        now_s = time.monotonic()
        by_agent: dict[str, list[LogEvent]] = {}
        for each in found:
            by_agent.setdefault(each.agent, []).append(each)
            self._rate_limiters.setdefault(each.agent, RateLimiter(each.agent, now_s))
        return [
            event
            for agent, rate_limiter in self._rate_limiters.items()
            for event in rate_limiter.admit(by_agent.get(agent, []), now_s)
        ]


def _source_name(log: str) -> str:
    return f"log:{log}"


def _log_incarnation(log: Path) -> str:
    return str(os.stat(log).st_ino)


def _rate_limited_event(agent: str, **dropped: int) -> HubEvent:
    return HubEvent(int(time.time() * 1000), "log-rate-limited", agent, {"level": "warning", **dropped})


def _traceback_event(lines: list[LogLine]) -> LogEvent:
    text = "\n".join(line.text[:_MAX_LINE_LENGTH] for line in lines)
    return LogEvent(lines[0].agent, lines[0].at_s, "error", text)


def _hub_event(found: LogEvent) -> HubEvent:
    at_s = found.at_s or time.time()  # a log not written by the engine has no times
    return HubEvent(int(at_s * 1000), "log", found.agent, {"level": found.level, "text": found.text})
