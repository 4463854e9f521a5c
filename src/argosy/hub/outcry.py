"""The outcry: the lines of this machine's agents that matter become events: warnings and worse, tracebacks.

Of a flood the first lines are kept, and how many were not is told. How far a log has been read is kept with
the events themselves, so that each is there once, through restarts.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from argosy.engine.celllog import Sources, find_sources
from argosy.engine.folder import Folder
from argosy.engine.logreader import Line, Reader, tail_offset
from argosy.hub.keeper import FullError, Keeper
from argosy.hub.record import Event

EVERY_S: Final = 1.0
BURST: Final = 30  # events of an agent at once
PER_S: Final = 0.5  # afterwards
MOST_LINES: Final = 60  # of a traceback
_MOST_CHARACTERS: Final = 2000  # of a line
_AT_ONCE_BYTES: Final = 1 << 20  # of a log; what a hub that is behind has not read is a flood too
_TRACEBACK: Final = "Traceback (most recent call last):"
_LEVEL: Final = re.compile(
    r"\b(WARNING|WARN|ERROR|CRITICAL|FATAL)\b"
    r'|"(?:level|levelname|severity)"\s*:\s*"(warning|warn|error|critical|fatal)"'
)
_WORDS: Final = {"warn": "warning", "fatal": "critical"}


class Found(NamedTuple):
    """Something that an agent said: a line, or a traceback as one text."""

    agent: str
    at_s: float
    level: str
    text: str


class Listener:
    """Picks what matters from the lines of one log, of one agent or the agents of a cell."""

    def __init__(self) -> None:
        self._traces: dict[str, list[Line]] = {}

    def hear(self, line: Line) -> list[Found]:
        """Return what is complete with this line."""
        trace = self._traces.get(line.agent)
        if trace is not None:
            if line.text.startswith((" ", "\t")) and len(trace) < MOST_LINES:
                trace.append(line)
                return []
            del self._traces[line.agent]
            is_its_end = not line.text.startswith((" ", "\t"))
            return [_trace_of([*trace, line] if is_its_end else trace)]
        if line.text.endswith(_TRACEBACK):
            self._traces[line.agent] = [line]
            return []
        found = _LEVEL.search(line.text)
        if not found:
            return []
        level = (found[1] or found[2]).lower()
        return [Found(line.agent, line.at_s, _WORDS.get(level, level), line.text[:_MOST_CHARACTERS])]

    def finish(self) -> list[Found]:
        """Return the tracebacks that nothing followed."""
        traces, self._traces = self._traces, {}
        return [_trace_of(trace) for trace in traces.values()]


class Allowance:
    """How much one agent may say: `BURST` events at once, then `PER_S`; the rest is counted, and told."""

    def __init__(self, agent: str, now_s: float) -> None:
        self._agent = agent
        self._left = float(BURST)
        self._at_s = now_s
        self._kept_back = 0

    def admit(self, found: Sequence[Found], now_s: float) -> list[Event]:
        """Return what is kept of it, and what has to be told of the rest. now_s: monotonic."""
        self._left = min(float(BURST), self._left + PER_S * (now_s - self._at_s))
        self._at_s = now_s
        events = []
        if self._kept_back and self._left >= 1:
            events.append(_flood(self._agent, lines=self._kept_back))
            self._kept_back = 0
            self._left -= 1
        kept = found[: int(self._left)]
        self._left -= len(kept)
        self._kept_back += len(found) - len(kept)
        return [*events, *map(_event, kept)]


class Outcry:
    """Follows the logs of one machine's agents."""

    def __init__(self, keeper: Keeper, folder: Folder) -> None:
        self._keeper = keeper
        self._folder = folder
        self._readers: dict[str, Reader] = {}
        self._listeners: dict[str, Listener] = {}
        self._allowances: dict[str, Allowance] = {}
        self._is_first = True

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                heard = await asyncio.to_thread(self._listen)
                keeping = [self._keep(name, events, at) for name, (events, at) in heard.items()]
                await asyncio.gather(*keeping)
                await asyncio.sleep(EVERY_S)
        except asyncio.CancelledError:  # after another error it is gone on with
            for reader in self._readers.values():
                reader.close()
            raise

    async def _keep(self, name: str, events: list[Event], at: tuple[str, int]) -> None:
        try:
            await self._keeper.keep(events, (), (_source(name), *at))
        except FullError:
            pass  # the log keeps them

    def _listen(self) -> dict[str, tuple[list[Event], tuple[str, int]]]:
        """Return by log what is to be kept of it now, and how far it has been read with that."""
        sources = find_sources(self._folder)
        heard = {}
        for name, log in sources.logs.items():
            reader = self._readers.get(name)
            try:
                if reader is None:
                    reader = self._readers[name] = self._opened(name, log)
                found, skipped = self._read(sources, name, log, reader)
                events = self._admitted(found)
                if skipped:
                    events.append(_flood(name, bytes=skipped))
                if events:
                    heard[name] = (events, (_life(log), self._readers[name].offset))
            except OSError:  # it goes while it is read
                if gone := self._readers.pop(name, None):
                    gone.close()
        self._is_first = False
        return heard

    def _opened(self, name: str, log: Path) -> Reader:
        """Return a reader that goes on where this hub or its last life was; else at the end of a log that was
        there before.
        """
        life, number = self._keeper.heard(_source(name))
        if life == _life(log) and number <= log.stat().st_size:
            return Reader(name, log, number)
        return Reader(name, log, log.stat().st_size if self._is_first else 0)

    def _read(self, sources: Sources, name: str, log: Path, reader: Reader) -> tuple[list[Found], int]:
        """Return what matters of what is new, and how many bytes were too many to be read."""
        listener = self._listeners.setdefault(name, Listener())
        lines = [line for line in sources.read(reader, [], _AT_ONCE_BYTES) if line.text]
        found = [each for line in lines for each in listener.hear(line)]
        if not lines:
            found += listener.finish()
        if not reader.is_behind:
            return found, 0
        before = reader.offset
        reader.close()
        self._readers[name] = Reader(name, log, tail_offset(log, MOST_LINES))
        return found, max(0, self._readers[name].offset - before)

    def _admitted(self, found: list[Found]) -> list[Event]:
        now_s = time.monotonic()
        by_agent: dict[str, list[Found]] = {}
        for each in found:
            by_agent.setdefault(each.agent, []).append(each)
            self._allowances.setdefault(each.agent, Allowance(each.agent, now_s))
        return [
            event
            for agent, allowance in self._allowances.items()
            for event in allowance.admit(by_agent.get(agent, []), now_s)
        ]


def _source(log: str) -> str:
    return f"log:{log}"


def _life(log: Path) -> str:
    return str(os.stat(log).st_ino)


def _flood(agent: str, **what: int) -> Event:
    return Event(int(time.time() * 1000), "flood", agent, {"level": "warning", **what})


def _trace_of(lines: list[Line]) -> Found:
    text = "\n".join(line.text[:_MOST_CHARACTERS] for line in lines)
    return Found(lines[0].agent, lines[0].at_s, "error", text)


def _event(found: Found) -> Event:
    at_s = found.at_s or time.time()  # a log that was begun by hand has no times
    return Event(int(at_s * 1000), "log", found.agent, {"level": found.level, "text": found.text})
