"""Renders a start as one self-contained HTML page: a table whose rows have bars.

Each row has the values of its bar as text, so that a screen reader reads the same content. The script only
sorts the rows, and marks what an agent waited for.
"""

from __future__ import annotations

import time
from html import escape

from argosy.engine.explain.start_timeline import AgentBar, StartPhase, StartTimeline
from argosy.html_page import render_page, table

_PHASE_LABELS = {
    StartPhase.NEEDS: "waits for needs",
    StartPhase.ADMISSION: "waits for admission",
    StartPhase.START: "starts",
    StartPhase.BACKOFF: "pauses before a restart",
    StartPhase.STOP: "ends",
}
_MAX_COSTS = 20
_TICK_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)
_MAX_TICKS = 8


def render_timeline_page(timeline: StartTimeline, fleet: str) -> str:
    """Return the whole page."""
    critical = {step.agent for step in timeline.critical_path}
    ready = sum(bar.ready_s is not None for bar in timeline.bars)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timeline.at_s))
    so_far = "" if timeline.is_complete else " so far"
    return render_page(
        f"{fleet}: last start",
        "argosy.cli.render",
        "timeline_page.html",
        summary=f"{ready} of {len(timeline.bars)} agents ready in {timeline.seconds:.3f} s{so_far}, {since}",
        path=_critical_path_html(timeline),
        legend="".join(
            f'<span><i class="{phase}"></i>{word}</span>' for phase, word in _phases_used(timeline)
        ),
        ticks=_ticks_html(timeline.seconds),
        rows="\n".join(_row_html(bar, timeline.seconds, bar.agent in critical) for bar in timeline.bars),
        alone=f"{timeline.unlimited_seconds:.3f} s",
        costs=_costs_html(timeline),
    )


def _phases_used(timeline: StartTimeline) -> list[tuple[StartPhase, str]]:
    used = {each.phase for bar in timeline.bars for each in bar.spans}
    return [(phase, word) for phase, word in _PHASE_LABELS.items() if phase in used]


def _row_html(bar: AgentBar, seconds: float, is_critical: bool) -> str:
    name = escape(bar.agent)
    critical_mark = ' <b title="on the critical path">critical</b>' if is_critical else ""
    ready = f"{bar.ready_s:.3f}" if bar.ready_s is not None else f"never<small> {escape(bar.outcome)}</small>"
    number = bar.ready_s if bar.ready_s is not None else 1e9
    attributes = f'data-name="{name}" data-waited-for="{escape(bar.gating_need)}"' + (
        ' class="critical"' if is_critical else ""
    )
    gate = f'<a href="#a-{escape(bar.gating_need)}">{escape(bar.gating_need)}</a>' if bar.gating_need else ""
    times = "".join(
        f'<td class="n part">{bar.time_in(phase):.3f}</td>'
        for phase in (StartPhase.NEEDS, StartPhase.ADMISSION, StartPhase.START)
    )
    return (
        f'<tr id="a-{name}" {attributes} tabindex="0"><th scope="row">{name}{critical_mark}</th>'
        f'<td class="n" data-n="{number:.6f}">{ready}</td>{times}<td>{gate}</td>'
        f'<td class="bar" aria-hidden="true"><div>{_intervals_html(bar, seconds)}</div></td></tr>'
    )


def _intervals_html(bar: AgentBar, seconds: float) -> str:
    total = max(seconds, 1e-9)
    return "".join(
        f'<i class="{each.phase}" style="left:{100 * each.from_s / total:.2f}%;'
        f'width:{100 * (each.to_s - each.from_s) / total:.2f}%" '
        f'title="{_PHASE_LABELS[each.phase]} {each.to_s - each.from_s:.3f} s"></i>'
        for each in bar.spans
    )


def _ticks_html(seconds: float) -> str:
    step = next((tick for tick in _TICK_STEPS if seconds / tick <= _MAX_TICKS), seconds / _MAX_TICKS or 1)
    count = int(seconds / step + 1e-9)
    return "".join(
        f'<i style="left:{100 * index * step / max(seconds, 1e-9):.2f}%">{index * step:g} s</i>'
        for index in range(count + 1)
        if index * step <= seconds * 0.96
    )


def _critical_path_html(timeline: StartTimeline) -> str:
    if not timeline.critical_path:
        return "<p>No agent is ready.</p>"
    steps = "".join(
        f'<li><a href="#a-{escape(step.agent)}">{escape(step.agent)}</a> {step.ready_s:.3f} s</li>'
        for step in timeline.critical_path
    )
    return f"<ol>{steps}</ol>"


def _costs_html(timeline: StartTimeline) -> str:
    costly = [cost for cost in timeline.costs if cost.fleet_s >= 0.0005][:_MAX_COSTS]
    if not costly:
        return "<p>No single need does.</p>"
    rows = "".join(
        f'<tr><th scope="row">{escape(cost.agent)}</th><td>{escape(cost.need)}</td>'
        f'<td class="n">{cost.fleet_s:.3f}</td><td class="n">{cost.agent_s:.3f}</td></tr>'
        for cost in costly
    )
    return table(("agent", "needs", "fleet, s", "agent, s"), rows)
