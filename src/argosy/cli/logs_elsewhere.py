"""The lines of agents on other machines: the verb runs there, and this machine's supervisor hands them on."""

from __future__ import annotations

import sys
from collections import Counter
from math import inf
from typing import TYPE_CHECKING

import msgspec

from argosy.cli.report import paint
from argosy.engine.client import connect
from argosy.engine.logreader import Line
from argosy.engine.messages import Output, Relay
from argosy.engine.roster import read_roster
from argosy.fault import ArgosyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from argosy.engine.client import Client
    from argosy.engine.folder import Folder

_SOON_S = 0.001
_FIRST_WITHIN_S = 30.0


class _Told(msgspec.Struct):
    """One object of `argosy logs --json`."""

    agent: str
    at: float
    line: str
    pid: int | None = None
    lost_bytes: int = 0
    lost_since: float | None = None


class Shown:
    """Which lines were shown, so that those that come once more after a cut are not shown twice.

    An agent's lines come in the order of their times, and several may have the same one.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}  # by agent: the last time, and how many lines have it
        self._before: dict[str, tuple[float, int]] = {}
        self._again: Counter[str] = Counter()

    def come_again(self) -> None:
        """Take note that all lines come from the first one on."""
        self._before = dict(self._last)
        self._again.clear()

    def is_new(self, line: Line) -> bool:
        """Return whether a line was not shown yet; from now on it was."""
        before_s, count = self._before.get(line.agent, (-inf, 0))
        if line.at_s < before_s:
            return False
        if line.at_s == before_s:
            self._again[line.agent] += 1
            if self._again[line.agent] <= count:
                return False
        last_s, same = self._last.get(line.agent, (-inf, 0))
        if line.at_s >= last_s:
            self._last[line.agent] = (line.at_s, same + 1 if line.at_s == last_s else 1)
        return True


_decode = msgspec.json.Decoder(_Told).decode


class Elsewhere:
    """Which agents are on other machines, by the plan applied last; none without a `folder`."""

    def __init__(self, folder: Folder | None) -> None:
        self._folder = folder
        roster = read_roster(folder) if folder else None
        links = roster.links if roster else None
        self.machine_of = {name: spec.machine for name, spec in links.agents.items()} if links else {}

    def feeds(self, names: Sequence[str], count: int | None, *, is_endless: bool) -> list[Feed]:
        """Return a feed for each machine that has any of these agents (none for all).

        count: the last lines only. is_endless: they go on as lines come, also after the machine was out of
        sight. A machine that cannot be asked is told on stderr.
        """
        by_machine: dict[str, list[str]] = {}
        for name, machine in self.machine_of.items():
            if not names or name in names:
                by_machine.setdefault(machine, []).append(name)
        feeds = []
        for machine, agents in by_machine.items():
            words = ["logs", "--here", "--json", *(["-f"] if is_endless else [])]
            feed = Feed(self._folder, machine, [*words, *(agents if names else ())], is_endless=is_endless)
            if feed.open([] if count is None else ["-n", str(count)]):
                feeds.append(feed)
            else:
                _warn(machine, "no supervisor runs here")
        return feeds


class Feed:
    """The lines of one machine, as they come.

    is_over: no more will. is_cut: no more will until it is opened again, by `go_on`.
    """

    def __init__(self, folder: Folder | None, machine: str, words: list[str], *, is_endless: bool) -> None:
        self.is_over = self.is_cut = False
        self._folder = folder
        self._machine = machine
        self._words = words
        self._is_endless = is_endless
        self._client: Client | None = None
        self._rest = b""
        self._shown = Shown()
        self._is_missed = False

    def open(self, words: list[str]) -> bool:
        """Ask for the lines, with these words more; return whether a supervisor runs here."""
        self._client = connect(self._folder, "logs") if self._folder else None
        if self._client is None:
            return False
        self._client.send(Relay(machine=self._machine, words=[*self._words, *words]))
        self.is_over = self.is_cut = False
        self._rest = b""
        self._shown.come_again()
        return True

    def go_on(self) -> bool:
        """Ask for the lines once more, those that were shown left out; return whether anybody was asked."""
        try:
            return self.open([])
        except (OSError, ArgosyError):  # the supervisor here ends just now
            return False

    def fileno(self) -> int:
        """Return the descriptor, for select."""
        assert self._client is not None, "it is open"
        return self._client.fileno()

    def all(self) -> Iterator[Line]:
        """Yield every line to the end."""
        while not self.is_over:
            yield from self._take(_FIRST_WITHIN_S)

    def soon(self) -> list[Line]:
        """Return the lines that are there now."""
        found: list[Line] = []
        while not self.is_over:
            try:
                found += self._take(_SOON_S)
            except TimeoutError:
                break
        return found

    def _take(self, within_s: float) -> list[Line]:
        assert self._client is not None, "it is open"
        try:
            answer = self._client.receive(within_s)
        except ArgosyError as error:
            if not self._is_missed:
                _warn(self._machine, error.faults[0].message)
            self._is_missed = True
            self.close()
            return []
        if not isinstance(answer, Output):
            return []
        if not answer.data:
            self.close()
            return []
        self._is_missed = False
        *lines, self._rest = (self._rest + answer.data).split(b"\n")
        told = (_line_of(_decode(line)) for line in lines if line)
        return [line for line in told if self._shown.is_new(line)]

    def close(self) -> None:
        """Take no more, of one that is endless for now."""
        if not self.is_over and self._client is not None:
            self.is_over = True
            self.is_cut = self._is_endless
            self._client.__exit__()


def _line_of(told: _Told) -> Line:
    return Line(told.at, told.agent, told.line, told.pid or 0, told.lost_bytes, told.lost_since or 0.0)


def _warn(machine: str, why: str) -> None:
    sys.stderr.write(f"{paint('warning:', 'yellow', sys.stderr)} no lines of machine `{machine}`: {why}\n")
