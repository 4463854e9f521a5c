"""The content of a new tracker file: a template, or the metrics of an imported tracker."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from argosy.track.markdown_import import MarkdownMetric, MarkdownTracker

TEMPLATE = """\
# yaml-language-server: $schema=./track.schema.json
# `argosy schema track` prints the schema. `argosy track run` measures stale metrics, `report` shows them.
track: {title}
# start: 2026-01-05        # the first day of week 1, for `slot`

objectives:
  parses:
    title: Every file parses
    why: a file that does not parse cannot run, and no other rule checks it
    priority: high
    effort: 2d
    metrics:
      broken: {{measure: audit.unparseable.count, better: lower, target: 0}}
  contexts:
    title: One ZeroMQ context in a process
    metrics:
      own: {{measure: audit.Z301.count, better: lower, target: 0}}
  addresses:
    title: No address in the source
    metrics:
      literal: {{measure: audit.A401.count, better: lower, target: 0}}
      fallback: {{measure: audit.A402.count, better: lower, target: 0}}
  # Your own command:
  # tests:
  #   title: The tests pass
  #   metrics:
  #     failed: {{run: "python -m pytest -q", read: {{match: '(\\d+) failed'}}, unit: tests, target: 0}}
"""
_FLEET_TEMPLATE = """\
  start:
    title: The fleet is up in a second
    metrics:
      seconds: {measure: start.seconds, better: lower, target: 1.0, tolerance: 20 %, repeat: 3}
      ready: {measure: fleet.ready, better: higher}
      contexts: {measure: fleet.contexts, better: lower}
"""


def render_template(title: str, *, has_fleet: bool) -> str:
    """Return a tracker file to start with. has_fleet: add metrics of the fleet file beside it."""
    text = TEMPLATE.format(title=yaml.safe_dump(title).strip().removesuffix("\n..."))
    return text + (_FLEET_TEMPLATE if has_fleet else "")


def render_imported(tracker: MarkdownTracker, source: str) -> str:
    """Return a tracker file with an imported tracker's metrics as stated values, contradictions on top."""
    objectives: dict[str, Any] = {}
    names: dict[str, str] = {}
    for metric in tracker.metrics:
        heading = metric.heading or tracker.title
        name = names.setdefault(heading, _unique_name(heading, objectives))
        objective = objectives.setdefault(name, {"title": heading, "metrics": {}})
        metrics: dict[str, Any] = objective["metrics"]
        metrics[_unique_name(metric.name, metrics)] = _metric_document(metric, source)
    head = [f"# Read from {source}. No value was measured: add a `measure`, `run` or `uses` to each."]
    for each in tracker.contradictions:
        head += _comment_lines(f"{source}:{', '.join(map(str, each.lines))}: {each.description}")
    body = yaml.safe_dump(
        {"track": tracker.title, "objectives": objectives}, sort_keys=False, allow_unicode=True, width=110
    )
    return "\n".join(head) + "\n\n" + body


def _metric_document(markdown_metric: MarkdownMetric, source: str) -> dict[str, Any]:
    where = f"{source}:{markdown_metric.line}: {markdown_metric.quote}"
    known = [
        value
        for value in (markdown_metric.current, markdown_metric.baseline, markdown_metric.target)
        if value is not None
    ]
    metric: dict[str, Any] = {"stated": known[0], "source": where}
    if markdown_metric.unit:
        metric["unit"] = markdown_metric.unit
    goal = markdown_metric.target if markdown_metric.target is not None else markdown_metric.current
    if markdown_metric.baseline is not None and goal is not None:
        metric["better"] = "higher" if goal > markdown_metric.baseline else "lower"
    if markdown_metric.target is not None:
        metric["target"] = markdown_metric.target
    if markdown_metric.baseline is not None:
        metric["baseline"] = {
            "stated": markdown_metric.baseline,
            "source": f"{source}:{markdown_metric.line}",
        }
    return metric


def _unique_name(text: str, taken: Iterable[str]) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "metric"
    name = plain if plain[0].isalpha() else f"n{plain}"
    known, number, wanted = set(taken), 2, name
    while name in known:
        name, number = f"{wanted}-{number}", number + 1
    return name


def _comment_lines(text: str) -> list[str]:
    words, lines, line = text.split(), [], "# contradiction:"
    for word in words:
        if len(line) + len(word) > 105:
            lines.append(line)
            line = "#  "
        line += f" {word}"
    return [*lines, line]
