"""Formats the rows of the full-screen view, sorted and cut to the width; uses no terminal."""

from __future__ import annotations

import os
import re
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from argosy.engine.process.os_process import read_stat
from argosy.engine.protocol.messages import AgentStatus, FleetStatus
from argosy.engine.protocol.state_machine import State

SortOrder = Literal["severity", "name", "cpu", "memory", "age"]
SORT_ORDERS: tuple[SortOrder, ...] = ("severity", "name", "cpu", "memory", "age")

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_HEADER = ("", "AGENT", "GROUP", "STATE", "SINCE", "PID", "CPU %", "PSS MiB", "RESTARTS", "NOTE")
_SHORT_HEADER = ("", "AGENT", "GROUP", "STATE", "SINCE", "PID", "CPU%", "MiB", "RST", "NOTE")
_NOTE_COLUMN = len(_HEADER) - 1
_NUMERIC_COLUMNS = frozenset(map(_HEADER.index, ("SINCE", "PID", "CPU %", "PSS MiB", "RESTARTS")))
# Columns that a narrow terminal omits, in this order, each if the note would have fewer characters than this.
_DROPPABLE_COLUMNS = {
    _HEADER.index(name): room
    for name, room in {
        "PID": 24,
        "GROUP": 24,
        "SINCE": 24,
        "PSS MiB": 10,
        "CPU %": 10,
        "RESTARTS": 10,
    }.items()
}
_GAP = 2
_GIVEN_UP_PREFIX = re.compile(r"given up after \d+ restarts?: ")  # shown in the columns STATE and RESTARTS
# A symbol for each state, since colour must not be the only sign.
_STATE_SYMBOLS = {
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
_SEVERITY = {
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


class TopRow(msgspec.Struct, frozen=True):
    """One agent's row. state: for its colour. summary: everything about it in one sentence."""

    agent: str
    state: State
    cells: tuple[str, ...]
    summary: str


class CpuUsage:
    """The processor time of each process between two samples."""

    def __init__(self) -> None:
        self._last_samples: dict[int, tuple[float, int]] = {}

    def sample(self, pids: Sequence[int]) -> dict[int, float]:
        """Return the percentage of one core by pid, without pids seen for the first time."""
        now, found, seen = time.monotonic(), {}, {}
        for pid in set(pids):
            stat = read_stat(pid)
            if stat is None:
                continue
            ticks = stat.cpu_ticks
            seen[pid] = (now, ticks)
            if pid in self._last_samples:
                earlier, before = self._last_samples[pid]
                found[pid] = 100.0 * (ticks - before) / _TICKS_PER_S / max(now - earlier, 1e-3)
        self._last_samples = seen
        return found


def make_rows(
    report: FleetStatus, cpu: Mapping[int, float], order: SortOrder, filter_text: str, now_s: float
) -> list[TopRow]:
    """Return the sorted rows of the agents whose name, group or state contains `filter_text`."""
    rows = [
        (name, status)
        for name, status in report.agents.items()
        if not filter_text
        or any(filter_text.lower() in text.lower() for text in (name, status.group or "", status.state.value))
    ]
    rows.sort(key=lambda item: _sort_key(order, item[0], item[1], cpu))
    return [
        TopRow(name, status.state, _cells(name, status, cpu, now_s), _agent_summary(name, status, now_s))
        for name, status in rows
    ]


def _sort_key(
    order: SortOrder, name: str, status: AgentStatus, cpu: Mapping[int, float]
) -> tuple[float, str]:
    match order:
        case "severity":
            return _SEVERITY[status.state], name
        case "cpu":
            return -cpu.get(status.pid or 0, 0.0), name
        case "memory":
            return -(status.pss_bytes or 0), name
        case "age":
            return -status.since_s, name
    return 0.0, name


def _cells(name: str, status: AgentStatus, cpu: Mapping[int, float], now_s: float) -> tuple[str, ...]:
    note = _GIVEN_UP_PREFIX.sub("", _note(status), count=1)
    return (
        _STATE_SYMBOLS[status.state],
        name,
        status.group or status.machine or "",
        status.state.value,
        _format_age(now_s - status.since_s) if status.since_s else "",
        str(status.pid or ""),
        f"{share:.1f}" if (share := cpu.get(status.pid or 0)) is not None else "",
        f"{status.pss_bytes / 2**20:.1f}" if status.pss_bytes else "",
        str(status.restarts or ""),
        "" if status.state is State.READY else note,
    )


def _note(status: AgentStatus) -> str:
    return f"waits for {', '.join(status.waiting_on)}" if status.waiting_on else status.reason


def _agent_summary(name: str, status: AgentStatus, now_s: float) -> str:
    age = f" for {_format_age(now_s - status.since_s)}" if status.since_s else ""
    facts = [f"{name} ({status.group})" if status.group else name, f"{status.state}{age}"]
    if status.pid:
        facts.append(f"pid {status.pid}")
    text = ", ".join(facts)
    return f"{text}: {note}" if (note := _note(status)) else text


def _format_age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def summary_line(report: FleetStatus, shown: int, order: SortOrder, filter_text: str) -> str:
    """Return the first line: the readiness, the sort order and the filter."""
    text = f"{report.fleet} ({report.environment}): {report.describe_readiness()}, by {order}"
    return text + (f", {shown} with `{filter_text}`" if filter_text else "")


def format_table(rows: Sequence[TopRow], width: int) -> tuple[str, list[str]]:
    """Return the header and the lines, with aligned columns, none wider than `width`.

    Omits empty columns and, if the width is not enough, the least important ones; the note has the rest.
    """
    cells = [row.cells for row in rows]
    head, columns = _fitting_columns(cells, width)
    widths = [max(len(line[index]) for line in (head, *cells)) for index in columns]
    lines = []
    for line in (head, *cells):
        padded = [
            line[index].rjust(wide) if index in _NUMERIC_COLUMNS else line[index].ljust(wide)
            for index, wide in zip(columns, widths, strict=True)
        ]
        lines.append(truncate((" " * _GAP).join(padded).rstrip(), width))
    return lines[0], lines[1:]


def _fitting_columns(cells: Sequence[tuple[str, ...]], width: int) -> tuple[tuple[str, ...], list[int]]:
    """Return the header and the columns that fit into `width`."""
    columns = [
        index
        for index, name in enumerate(_HEADER)
        if name in ("", "AGENT", "STATE") or not cells or any(line[index] for line in cells)
    ]
    if _table_width(_HEADER, cells, columns, max(_DROPPABLE_COLUMNS.values())) <= width:
        return _HEADER, columns
    for index, note_width in _DROPPABLE_COLUMNS.items():
        if _table_width(_SHORT_HEADER, cells, columns, note_width) > width:
            columns = [each for each in columns if each != index]
    return _SHORT_HEADER, columns


def _table_width(
    head: tuple[str, ...], cells: Sequence[tuple[str, ...]], columns: Sequence[int], note_width: int
) -> int:
    """Return the width of the columns, with at most `note_width` for the note."""
    widths = {index: max(len(line[index]) for line in (head, *cells)) for index in columns}
    if _NOTE_COLUMN in widths:
        widths[_NOTE_COLUMN] = min(widths[_NOTE_COLUMN], note_width)
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def truncate(text: str, width: int) -> str:
    """Return `text` cut to `width`; a cut text ends with `…`."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"[: max(width, 0)]


def wrap_lines(text: str, width: int, max_lines: int) -> list[str]:
    """Return `text` wrapped to at most `max_lines` lines; a cut text ends with ` …`."""
    return textwrap.wrap(text, max(width, 2), max_lines=max_lines, placeholder=" …") if text else []


def describe_hidden_rows(above: int, below: int) -> str:
    """Return a line with the number of agents above and below the visible ones."""
    more = [f"{count} more {where}" for count, where in ((above, "above"), (below, "below")) if count]
    keys = "page up, page down" if above and below else "page up" if above else "page down"
    return f"{', '.join(more)} (arrows, {keys})" if more else ""
