"""Renders a start as one self-contained HTML page: a table whose rows have bars.

Each row has the values of its bar as text, so that a screen reader reads the same content. The script only
sorts the rows, and marks what an agent waited for.
"""

from __future__ import annotations

import time
from html import escape

from argosy.engine.explain.start_timeline import AgentBar, StartPhase, StartTimeline

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
    return _PAGE.format(
        title=escape(fleet),
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
    head = "".join(f'<th scope="col">{word}</th>' for word in ("agent", "needs", "fleet, s", "agent, s"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}: last start</title>
<style>
:root {{ color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --page: #fff; --line: #e3e7ed;
  --near: #fff3cf; --needs: #d3d9e2; --admission: #e2a43b; --start: #2f7d5b;
  --backoff: #b98bd0; --stop: #c8402e; --hot: #b3261e; }}
@media (prefers-color-scheme: dark) {{ :root {{
  --ink: #dde3ec; --soft: #9aa5b5; --page: #14181f; --line: #29303b; --near: #3a3212; --needs: #3a4351;
  --admission: #c98a1e; --start: #4fae84; --backoff: #9a6fb3; --stop: #e0604d; --hot: #ff8a7a; }} }}
body {{ margin: 1.5rem; font: 14px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--page); }}
h1 {{ font-size: 1.3rem; margin: 0; }}
h2 {{ font-size: 1rem; margin: 1.4rem 0 .3rem; }}
p {{ margin: .2rem 0 .8rem; color: var(--soft); }}
a {{ color: inherit; }}
ol {{ margin: 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: .1rem .5rem; }}
ol li + li::before {{ content: "\\2192"; color: var(--soft); margin-right: .5rem; }}
.legend span {{ margin-right: 1.2rem; white-space: nowrap; }}
.legend i {{ display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin-right: .4em;
  vertical-align: -1px; }}
.frame {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin-top: .6rem; }}
#bars {{ width: 100%; min-width: 760px; }}
th, td {{ text-align: left; padding: 2px 10px 2px 0; font-weight: normal; white-space: nowrap;
  border-bottom: 1px solid var(--line); }}
thead th {{ position: sticky; top: 0; background: var(--page); color: var(--soft); z-index: 1; }}
thead button {{ all: unset; cursor: pointer; text-decoration: underline dotted; }}
thead button:focus-visible, tr:focus-visible, a:focus-visible {{
  outline: 2px solid var(--admission); outline-offset: 1px; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
tr.critical th {{ font-weight: 600; }}
tr b {{ color: var(--hot); font-size: .75em; font-weight: 600; }}
tr.near > * {{ background: var(--near); }}
small {{ color: var(--hot); white-space: normal; }}
.bar {{ width: 55%; padding-right: 0; }}
.bar div {{ position: relative; height: 14px; }}
.bar i {{ position: absolute; top: 1px; bottom: 1px; min-width: 1px; border-radius: 1px; }}
thead .bar i {{ font-style: normal; font-size: .8em; border-left: 1px solid var(--line); padding-left: 3px; }}
.needs {{ background: var(--needs); }}
.admission {{ background: var(--admission); }} .start {{ background: var(--start); }}
.backoff {{ background: var(--backoff); }} .stop {{ background: var(--stop); }}
@media (max-width: 1000px) {{ .part {{ display: none; }} #bars {{ min-width: 640px; }} }}
tr.critical .start {{ box-shadow: 0 0 0 1.5px var(--hot); }}
</style>
</head>
<body>
<h1>{title}: last start</h1>
<p>{summary}</p>
<h2>Critical path</h2>
{path}
<h2>Agents</h2>
<div class="legend">{legend}</div>
<div class="frame">
<table id="bars">
<thead><tr>
<th scope="col"><button data-by="name">agent</button></th>
<th scope="col" class="n"><button data-by="1">ready, s</button></th>
<th scope="col" class="n part"><button data-by="2">needs, s</button></th>
<th scope="col" class="n part"><button data-by="3">admission, s</button></th>
<th scope="col" class="n part"><button data-by="4">start, s</button></th>
<th scope="col">waited for</th>
<th scope="col" class="bar" aria-hidden="true"><div>{ticks}</div></th>
</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
<h2>What the needs cost</h2>
<p>Without admission waits, with the measured starts, this would have taken {alone}. Sooner without one need,
each counted alone, by:</p>
{costs}
<script>
const body = document.querySelector("#bars tbody");
const rows = new Map([...body.rows].map(row => [row.dataset.name, row]));
function mark(name) {{
  const seen = new Set();
  for (let row = rows.get(name); row && !seen.has(row); row = rows.get(row.dataset.waitedFor)) {{
    seen.add(row);
    row.classList.add("near");
  }}
}}
function clear() {{ for (const row of rows.values()) row.classList.remove("near"); }}
for (const [name, row] of rows) {{
  for (const event of ["mouseenter", "focusin"])
    row.addEventListener(event, () => {{ clear(); mark(name); }});
  for (const event of ["mouseleave", "focusout"]) row.addEventListener(event, clear);
}}
for (const button of document.querySelectorAll("#bars button")) button.addEventListener("click", () => {{
  const by = button.dataset.by, head = button.parentElement, down = head.ariaSort === "ascending";
  const number = cell => +(cell.dataset.n || cell.textContent);
  const key = row => by === "name" ? row.dataset.name : number(row.cells[by]);
  const sorted = [...rows.values()].sort((a, b) => key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
  body.append(...(down ? sorted.reverse() : sorted));
  for (const other of document.querySelectorAll("#bars th[aria-sort]")) other.removeAttribute("aria-sort");
  head.ariaSort = down ? "descending" : "ascending";
}});
</script>
</body>
</html>
"""
