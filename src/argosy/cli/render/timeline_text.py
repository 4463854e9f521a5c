"""Renders a start as text: a bar for each agent, as wide as the terminal."""

from __future__ import annotations

import time

from argosy.cli.console import paint
from argosy.cli.render.graph_view import edge_cost_lines
from argosy.engine.explain.start_timeline import AgentBar, StartPhase, StartTimeline

_MIN_BAR_WIDTH = 12
_MAX_NAME_WIDTH = 34
_MAX_COSTS = 8

# By phase: the mark on a terminal, the mark elsewhere, the colour, the label.
_PHASE_STYLES = {
    StartPhase.NEEDS: ("·", ".", "dim", "waits for needs"),
    StartPhase.ADMISSION: ("▒", "-", "yellow", "waits for admission"),
    StartPhase.START: ("█", "=", "green", "starts"),
    StartPhase.BACKOFF: ("~", "~", "yellow", "pauses before a restart"),
    StartPhase.STOP: ("x", "x", "red", "ends"),
}


def render_timeline_text(timeline: StartTimeline, fleet: str, width: int, *, is_rich: bool) -> str:
    """Return the text. is_rich: with colours and block characters."""
    critical = {step.agent for step in timeline.critical_path}
    name_width = min(_MAX_NAME_WIDTH, max(len(bar.agent) for bar in timeline.bars))
    bar_width = max(_MIN_BAR_WIDTH, width - name_width - len("*   12.345 s  ") - 1)
    scale = bar_width / max(timeline.seconds, 1e-9)
    lines = [_heading(timeline, fleet), _legend(timeline, is_rich=is_rich), ""]
    for bar in timeline.bars:
        critical_mark = paint("*", "bold") if bar.agent in critical else " "
        end = "    never" if bar.ready_s is None else f"{bar.ready_s:7.3f} s"
        bar_text = _draw_bar(bar, scale, is_rich=is_rich)
        name = bar.agent if len(bar.agent) <= name_width else bar.agent[: name_width - 2] + ".."
        lines.append(f"{critical_mark} {name:<{name_width}} {end}  {bar_text}".rstrip())
        if bar.outcome:
            lines.append(f"  {'':<{name_width}}            {bar.outcome}"[: max(width, 60)])
    return "\n".join([*lines, "", *_critical_path_lines(timeline), "", *_cost_lines(timeline)]) + "\n"


def _heading(timeline: StartTimeline, fleet: str) -> str:
    ready = sum(bar.ready_s is not None for bar in timeline.bars)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timeline.at_s))
    state = f"{timeline.seconds:.3f} s" if timeline.is_complete else f"{timeline.seconds:.3f} s so far"
    return f"{fleet}: {ready} of {len(timeline.bars)} agents ready in {state}, started {since}"


def _legend(timeline: StartTimeline, *, is_rich: bool) -> str:
    used = {each.phase for bar in timeline.bars for each in bar.spans}
    marks = [
        f"{paint(rich, colour) if is_rich else plain} {word}"
        for phase, (rich, plain, colour, word) in _PHASE_STYLES.items()
        if phase in used
    ]
    return "   ".join([*marks, "* critical path"])


def _draw_bar(bar: AgentBar, scale: float, *, is_rich: bool) -> str:
    """Return the bar; each span ends at its rounded end, so that neighbours never overlap."""
    parts, at = [], 0
    for each in bar.spans:
        begin, end = max(at, round(each.from_s * scale)), round(each.to_s * scale)
        if each.phase is StartPhase.START and end <= begin:
            end = begin + 1  # a start is always visible
        rich, plain, colour, _ = _PHASE_STYLES[each.phase]
        parts.append(" " * (begin - at))
        if end > begin:
            parts.append(paint(rich * (end - begin), colour) if is_rich else plain * (end - begin))
        at = max(begin, end)
    return "".join(parts)


def _critical_path_lines(timeline: StartTimeline) -> list[str]:
    if not timeline.critical_path:
        return ["critical path: none, no agent is ready"]
    bars = {bar.agent: bar for bar in timeline.bars}
    admission_wait_s = sum(bars[step.agent].time_in(StartPhase.ADMISSION) for step in timeline.critical_path)
    lines = [
        f"critical path, {timeline.critical_path_s:.3f} s, {admission_wait_s:.3f} s waiting for admission"
    ]
    for step in timeline.critical_path:
        bar = bars[step.agent]
        details = [f"start {bar.time_in(StartPhase.START):.3f} s"]
        if bar.time_in(StartPhase.ADMISSION) >= 0.001:
            details.append(f"admission {bar.time_in(StartPhase.ADMISSION):.3f} s")
        if bar.gating_need:
            details.append(f"after {bar.gating_need}")
        lines.append(f"  {step.ready_s:7.3f} s  {step.agent}  ({', '.join(details)})")
    return lines


def _cost_lines(timeline: StartTimeline) -> list[str]:
    """Return the cost of the admission waits, and how much sooner the fleet is ready without each need."""
    lines = [f"without admission waits, with the measured starts: {timeline.unlimited_seconds:.3f} s"]
    costs = edge_cost_lines(
        timeline.costs, _MAX_COSTS, lambda cost: f"({cost.agent} itself {cost.agent_s:.3f} s)"
    )
    if not costs:
        return [*lines, "  no single need delays it"]
    return [f"{lines[0]}; sooner without one need, by:", *costs]
