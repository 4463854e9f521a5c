"""A start as text: a bar an agent, as wide as the terminal, plain where there is none."""

from __future__ import annotations

import time

from argosy.cli.report import paint
from argosy.engine.timeline import Bar, Phase, Timeline

_NARROWEST = 12
_WIDEST_NAME = 34
_COSTS_SHOWN = 8

# Phase to its mark on a terminal, its mark elsewhere, its colour, its word.
_LOOKS = {
    Phase.NEEDS: ("·", ".", "dim", "waits for needs"),
    Phase.ROOM: ("▒", "-", "yellow", "waits for a processor"),
    Phase.START: ("█", "=", "green", "starts"),
    Phase.PAUSE: ("~", "~", "yellow", "pauses before a restart"),
    Phase.STOP: ("x", "x", "red", "ends"),
}


def render_text(timeline: Timeline, fleet: str, width: int, *, is_rich: bool) -> str:
    """Return the whole text. is_rich: with colours and block characters."""
    critical = {step.agent for step in timeline.critical_path}
    name_width = min(_WIDEST_NAME, max(len(bar.agent) for bar in timeline.bars))
    room = max(_NARROWEST, width - name_width - len("*   12.345 s  ") - 1)
    scale = room / max(timeline.seconds, 1e-9)
    lines = [_heading(timeline, fleet), _legend(timeline, is_rich=is_rich), ""]
    for bar in timeline.bars:
        mark = paint("*", "bold") if bar.agent in critical else " "
        end = "    never" if bar.ready_s is None else f"{bar.ready_s:7.3f} s"
        drawn = _drawn(bar, scale, is_rich=is_rich)
        lines.append(f"{mark} {_short(bar.agent, name_width):<{name_width}} {end}  {drawn}".rstrip())
        if bar.end:
            lines.append(f"  {'':<{name_width}}            {bar.end}"[: max(width, 60)])
    return "\n".join([*lines, "", *_path(timeline), "", *_costs(timeline)]) + "\n"


def _heading(timeline: Timeline, fleet: str) -> str:
    ready = sum(bar.ready_s is not None for bar in timeline.bars)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timeline.at_s))
    state = f"{timeline.seconds:.3f} s" if timeline.is_over else f"{timeline.seconds:.3f} s so far"
    return f"{fleet}: {ready} of {len(timeline.bars)} agents ready in {state}, started {since}"


def _legend(timeline: Timeline, *, is_rich: bool) -> str:
    used = {each.phase for bar in timeline.bars for each in bar.stretches}
    marks = [
        f"{paint(rich, colour) if is_rich else plain} {word}"
        for phase, (rich, plain, colour, word) in _LOOKS.items()
        if phase in used
    ]
    return "   ".join([*marks, "* critical path"])


def _drawn(bar: Bar, scale: float, *, is_rich: bool) -> str:
    """Return the bar: the cell of each stretch's end decides, so that neighbours never overlap."""
    parts, at = [], 0
    for each in bar.stretches:
        begin, end = max(at, round(each.from_s * scale)), round(each.to_s * scale)
        if each.phase is Phase.START and end <= begin:
            end = begin + 1  # a start is always seen
        rich, plain, colour, _ = _LOOKS[each.phase]
        parts.append(" " * (begin - at))
        if end > begin:
            parts.append(paint(rich * (end - begin), colour) if is_rich else plain * (end - begin))
        at = max(begin, end)
    return "".join(parts)


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 2] + ".."


def _path(timeline: Timeline) -> list[str]:
    if not timeline.critical_path:
        return ["critical path: none, no agent is ready"]
    bars = {bar.agent: bar for bar in timeline.bars}
    room_s = sum(bars[step.agent].spent(Phase.ROOM) for step in timeline.critical_path)
    lines = [f"critical path, {timeline.critical_path_s:.3f} s, {room_s:.3f} s of it waiting for a processor"]
    for step in timeline.critical_path:
        bar = bars[step.agent]
        told = [f"start {bar.spent(Phase.START):.3f} s"]
        if bar.spent(Phase.ROOM) >= 0.001:
            told.append(f"processor {bar.spent(Phase.ROOM):.3f} s")
        if bar.gate:
            told.append(f"after {bar.gate}")
        lines.append(f"  {step.ready_s:7.3f} s  {step.agent}  ({', '.join(told)})")
    return lines


def _costs(timeline: Timeline) -> list[str]:
    """Return what the processors cost, and the needs: so much sooner without one, each counted alone."""
    lines = [
        f"without the waits for a processor, each start as long as it was: {timeline.needs_alone_s:.3f} s"
    ]
    costly = [cost for cost in timeline.costs if cost.fleet_s >= 0.0005]
    if not costly:
        return [*lines, "  no single need makes that longer"]
    lines[0] += "; so much sooner without one need:"
    lines += [
        f"  {cost.fleet_s:7.3f} s  {cost.agent} needs {cost.need}  ({cost.agent} itself {cost.agent_s:.3f} s)"
        for cost in costly[:_COSTS_SHOWN]
    ]
    rest = len(costly) - _COSTS_SHOWN
    return lines + ([f"  and {rest} more; `--json` has all"] if rest > 0 else [])
