"""Log lines of agents on other machines: `logs` runs there, and this machine's supervisor relays them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING

import msgspec

from argosy.cli.console import print_note
from argosy.engine.control.control_client import ControlClient, connect
from argosy.engine.logs.log_reader import LogLine
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.protocol.messages import CommandOutput, RelayCommand
from argosy.fault import ArgosyError

if TYPE_CHECKING:
    from argosy.engine.state.state_dir import StateDir

_POLL_S = 0.001
_FIRST_LINE_TIMEOUT_S = 30.0


class _LogLineJson(msgspec.Struct):
    """One object of `argosy logs --json`."""

    agent: str
    at: float
    line: str
    pid: int | None = None
    lost_bytes: int = 0
    lost_since: float | None = None

    def as_log_line(self) -> LogLine:
        since_s = self.lost_since or 0.0
        return LogLine(self.at, self.agent, self.line, self.pid or 0, self.lost_bytes, since_s)


class ShownLines:
    """Tracks which lines were shown, so that lines sent again after a reconnect are not shown twice.

    The lines of an agent arrive in the order of their times; several may have the same time.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}  # by agent: the last time, and how many lines have it
        self._before_reconnect: dict[str, tuple[float, int]] = {}
        self._seen_again: Counter[str] = Counter()

    def restart(self) -> None:
        """Record that all lines will be sent again from the first one."""
        self._before_reconnect = dict(self._last)
        self._seen_again.clear()

    def is_new(self, line: LogLine) -> bool:
        """Return whether a line is new, and record it as shown."""
        before_s, count = self._before_reconnect.get(line.agent, (-inf, 0))
        if line.at_s < before_s:
            return False
        if line.at_s == before_s:
            self._seen_again[line.agent] += 1
            if self._seen_again[line.agent] <= count:
                return False
        last_s, same = self._last.get(line.agent, (-inf, 0))
        if line.at_s >= last_s:
            self._last[line.agent] = (line.at_s, same + 1 if line.at_s == last_s else 1)
        return True


_decode_line = msgspec.json.Decoder(_LogLineJson).decode


class RemoteAgents:
    """The agents on other machines, from the plan applied last; none without a `state_dir`."""

    def __init__(self, state_dir: StateDir | None) -> None:
        self._state_dir = state_dir
        applied_plan = load_applied_plan(state_dir) if state_dir else None
        peer_plan = applied_plan.peering if applied_plan else None
        self.machine_of = {name: spec.machine for name, spec in peer_plan.agents.items()} if peer_plan else {}

    def open_feeds(self, names: Sequence[str], count: int | None, *, follow: bool) -> list[RemoteLogFeed]:
        """Return a feed for each machine that has any of the named agents (no names: all).

        count: only the last lines. follow: the feeds do not end, and reconnect after the machine was
        unreachable. Prints a warning for a machine that cannot be queried.
        """
        by_machine: dict[str, list[str]] = {}
        for name, machine in self.machine_of.items():
            if not names or name in names:
                by_machine.setdefault(machine, []).append(name)
        feeds = []
        for machine, agents in by_machine.items():
            arguments = ["logs", "--here", "--json", *(["-f"] if follow else [])]
            feed = RemoteLogFeed(
                self._state_dir, machine, [*arguments, *(agents if names else ())], follow=follow
            )
            if feed.open([] if count is None else ["-n", str(count)]):
                feeds.append(feed)
            else:
                _warn(machine, "no supervisor runs here")
        return feeds


class RemoteLogFeed:
    """The lines of one machine as they arrive.

    is_closed: no more lines arrive. is_disconnected: none arrive until `reconnect` opens it again.
    """

    def __init__(
        self, state_dir: StateDir | None, machine: str, arguments: list[str], *, follow: bool
    ) -> None:
        self.is_closed = self.is_disconnected = False
        self._state_dir = state_dir
        self._machine = machine
        self._arguments = arguments
        self._follow = follow
        self._client: ControlClient | None = None
        self._partial_line = b""
        self._shown = ShownLines()
        self._is_failure_reported = False

    def open(self, more_arguments: list[str]) -> bool:
        """Request the lines with these further arguments; return whether a supervisor runs here."""
        self._client = connect(self._state_dir, "logs") if self._state_dir else None
        if self._client is None:
            return False
        self._client.send(RelayCommand(machine=self._machine, args=[*self._arguments, *more_arguments]))
        self.is_closed = self.is_disconnected = False
        self._partial_line = b""
        self._shown.restart()
        return True

    def reconnect(self) -> bool:
        """Request the lines again, without those already shown; return whether that was possible."""
        try:
            return self.open([])
        except (OSError, ArgosyError):  # the local supervisor is exiting
            return False

    def fileno(self) -> int:
        """Return the file descriptor, for `select`."""
        assert self._client is not None, "it is open"
        return self._client.fileno()

    def read_all(self) -> Iterator[LogLine]:
        """Yield every line until the feed ends."""
        while not self.is_closed:
            yield from self._receive(_FIRST_LINE_TIMEOUT_S)

    def read_available(self) -> list[LogLine]:
        """Return the lines that have arrived."""
        found: list[LogLine] = []
        while not self.is_closed:
            try:
                found += self._receive(_POLL_S)
            except TimeoutError:
                break
        return found

    def _receive(self, timeout_s: float) -> list[LogLine]:
        assert self._client is not None, "it is open"
        try:
            answer = self._client.receive(timeout_s)
        except ArgosyError as error:
            if not self._is_failure_reported:
                _warn(self._machine, error.faults[0].message)
            self._is_failure_reported = True
            self.close()
            return []
        if not isinstance(answer, CommandOutput):
            return []
        if not answer.data:
            self.close()
            return []
        self._is_failure_reported = False
        *lines, self._partial_line = (self._partial_line + answer.data).split(b"\n")
        lines_received = (_decode_line(line).as_log_line() for line in lines if line)
        return [line for line in lines_received if self._shown.is_new(line)]

    def close(self) -> None:
        """Close the connection; one with `follow` can be opened again."""
        if not self.is_closed and self._client is not None:
            self.is_closed = True
            self.is_disconnected = self._follow
            self._client.__exit__()


def _warn(machine: str, why: str) -> None:
    print_note("warning", f"no lines of machine `{machine}`: {why}")
