"""What the full-screen view shows: rows of a report, in order, cut to the width; it touches no terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from argosy.engine.messages import AgentStatus, Report
from argosy.engine.state import State

Order = Literal["trouble", "name", "cpu", "memory", "age"]
ORDERS: tuple[Order, ...] = ("trouble", "name", "cpu", "memory", "age")

_TICKS = os.sysconf("SC_CLK_TCK")
_HEAD = ("", "AGENT", "GROUP", "STATE", "SINCE", "PID", "CPU %", "PSS MiB", "RESTARTS", "NOTE")
# Colour is never the only sign.
_MARKS = {
    State.READY: "✔",
    State.DEGRADED: "△",
    State.FAILING: "✘",
    State.GIVEN_UP: "✘",
    State.BLOCKED: "✘",
    State.RESTART_PENDING: "↻",
    State.STARTING: "…",
    State.STOPPING: "…",
    State.WAITING: "…",
    State.EXITED: "-",
}
_TROUBLE = {
    State.GIVEN_UP: 0,
    State.FAILING: 1,
    State.RESTART_PENDING: 2,
    State.BLOCKED: 3,
    State.DEGRADED: 4,
    State.STARTING: 5,
    State.STOPPING: 5,
    State.WAITING: 6,
    State.READY: 7,
    State.EXITED: 8,
}


class Row(msgspec.Struct, frozen=True):
    """One agent's line. state: for its colour."""

    agent: str
    state: State
    cells: tuple[str, ...]


class Processors:
    """How much processor time each process takes, from one look to the next."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, int]] = {}

    def look(self, pids: Sequence[int]) -> dict[int, float]:
        """Return the share of a core, in percent, by pid; nothing for those seen for the first time."""
        now, found, seen = time.monotonic(), {}, {}
        for pid in set(pids):
            ticks = _ticks(pid)
            if ticks is None:
                continue
            seen[pid] = (now, ticks)
            if pid in self._last:
                then, before = self._last[pid]
                found[pid] = 100.0 * (ticks - before) / _TICKS / max(now - then, 1e-3)
        self._last = seen
        return found


def _ticks(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[11]) + int(fields[12])


def make_rows(report: Report, cpu: Mapping[int, float], order: Order, wanted: str, now_s: float) -> list[Row]:
    """Return the rows of the agents whose name, group or state has `wanted` in it, in an order."""
    rows = [
        (name, status)
        for name, status in report.agents.items()
        if not wanted
        or any(wanted.lower() in text.lower() for text in (name, status.group or "", status.state.value))
    ]
    rows.sort(key=lambda item: _rank(order, item[0], item[1], cpu))
    return [Row(name, status.state, _cells(name, status, cpu, now_s)) for name, status in rows]


def _rank(order: Order, name: str, status: AgentStatus, cpu: Mapping[int, float]) -> tuple[float, str]:
    match order:
        case "trouble":
            return _TROUBLE[status.state], name
        case "cpu":
            return -cpu.get(status.pid or 0, 0.0), name
        case "memory":
            return -(status.pss_bytes or 0), name
        case "age":
            return -status.since_s, name
    return 0.0, name


def _cells(name: str, status: AgentStatus, cpu: Mapping[int, float], now_s: float) -> tuple[str, ...]:
    note = f"waits for {', '.join(status.waiting_on)}" if status.waiting_on else status.reason
    return (
        _MARKS[status.state],
        name,
        status.group or status.machine or "",
        status.state.value,
        _age(now_s - status.since_s) if status.since_s else "",
        str(status.pid or ""),
        f"{share:.1f}" if (share := cpu.get(status.pid or 0)) is not None else "",
        f"{status.pss_bytes / 2**20:.1f}" if status.pss_bytes else "",
        str(status.restarts or ""),
        "" if status.state is State.READY else note,
    )


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def summary(report: Report, shown: int, order: Order, wanted: str) -> str:
    """Return the first line: what is ready, and what is shown."""
    told = f"{report.fleet} ({report.environment}): {report.count_ready()}, by {order}"
    return told + (f", {shown} with `{wanted}`" if wanted else "")


def table(rows: Sequence[Row], width: int) -> tuple[str, list[str]]:
    """Return the head and the lines, columns aligned, none wider than `width`."""
    numbers = {4, 5, 6, 7, 8}
    columns = list(zip(_HEAD, *(row.cells for row in rows), strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for cells in (_HEAD, *(row.cells for row in rows)):
        padded = [
            cell.rjust(widths[index]) if index in numbers else cell.ljust(widths[index])
            for index, cell in enumerate(cells)
        ]
        lines.append("  ".join(padded)[: max(width, 0)].rstrip())
    return lines[0], lines[1:]
