"""The lines of agents on other machines: the verb runs there, and this machine's supervisor hands them on."""

from __future__ import annotations

import sys
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

        count: the last lines only. is_endless: they go on as lines come. A machine that cannot be asked
        is told on stderr.
        """
        by_machine: dict[str, list[str]] = {}
        for name, machine in self.machine_of.items():
            if not names or name in names:
                by_machine.setdefault(machine, []).append(name)
        feeds = []
        for machine, agents in by_machine.items():
            words = ["logs", "--here", "--json", *(["-f"] if is_endless else [])]
            words += ["-n", str(count)] if count is not None else []
            client = connect(self._folder, "logs") if self._folder else None
            if client is None:
                _warn(machine, "no supervisor runs here")
                continue
            client.send(Relay(machine=machine, words=[*words, *(agents if names else ())]))
            feeds.append(Feed(machine, client))
        return feeds


class Feed:
    """The lines of one machine, as they come. is_over: no more will."""

    def __init__(self, machine: str, client: Client) -> None:
        self.is_over = False
        self._machine = machine
        self._client = client
        self._rest = b""

    def fileno(self) -> int:
        """Return the descriptor, for select."""
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
        try:
            answer = self._client.receive(within_s)
        except ArgosyError as error:
            _warn(self._machine, error.faults[0].message)
            self.close()
            return []
        if not isinstance(answer, Output):
            return []
        if not answer.data:
            self.close()
            return []
        *lines, self._rest = (self._rest + answer.data).split(b"\n")
        return [_line_of(_decode(line)) for line in lines if line]

    def close(self) -> None:
        """Take no more."""
        if not self.is_over:
            self.is_over = True
            self._client.__exit__()


def _line_of(told: _Told) -> Line:
    return Line(told.at, told.agent, told.line, told.pid or 0, told.lost_bytes, told.lost_since or 0.0)


def _warn(machine: str, why: str) -> None:
    sys.stderr.write(f"{paint('warning:', 'yellow', sys.stderr)} no lines of machine `{machine}`: {why}\n")
