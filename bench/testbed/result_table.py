"""Renders a result as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from testbed.host_info import Machine
from testbed.result import Result


def render(result: Result) -> str:
    """Return the tables of a result: ratios with both sides, values, skipped rows and the method."""
    parts = [f"bench {result.name} on {_machine(result.machine)}"]
    if result.ratios:
        parts.append(
            _table(["ratio", "left", "right", "", "median", "min", "max", "n", "goal", ""], _ratios(result))
        )
    if result.values:
        parts.append(_table(["value", "median", "min", "max", "n", "goal", ""], _values(result)))
    parts.extend(f"skipped {label}: {reason}" for label, reason in result.skipped.items())
    parts.append("\n".join(f"method: {line}" for line in result.method))
    return "\n\n".join(parts)


def _machine(machine: Machine) -> str:
    return (
        f"{machine.processor}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, "
        f"Linux {machine.kernel}, Python {machine.python}, pyzmq {machine.pyzmq}, "
        f"{machine.loop}, load {machine.load}"
    )


def _ratios(result: Result) -> Iterable[list[str]]:
    for label, each in result.ratios.items():
        sides = [_number(each.left), _number(each.right), each.unit]
        figures = [_number(each.median), _number(each.min), _number(each.max), str(each.n)]
        sign = "<=" if each.better == "lower" else ">="
        yield [label, *sides, *figures, f"{sign} {each.goal:g}", "" if each.is_at_goal else "missed"]


def _values(result: Result) -> Iterable[list[str]]:
    for label, each in result.values.items():
        goal = "" if each.goal is None else f"{'<=' if each.better == 'lower' else '>='} {each.goal:g}"
        figures = [_number(each.value), _number(each.min), _number(each.max), str(each.n)]
        yield [label, *figures, goal, each.unit]


def _number(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return "\n".join(_line(row, widths) for row in table)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        row[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
    ]
    return "  ".join(cells).rstrip()
