"""A Grafana dashboard of one fleet, for the metrics of `/metrics`, ready to import."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Final

from argosy.fleet.fleet_spec import Fleet

_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_COLUMNS: Final = 24
_HEIGHT: Final = 8
_SCHEMA: Final = 39  # of Grafana 10 and later
_METRIC_PANELS: Final = (  # title, expression with `%s` for the labels, unit
    ("Loop lag", "argosy_agent_loop_lag_ms%s", "ms"),
    ("Requests handled", "rate(argosy_agent_handled_total%s[1m])", "reqps"),
    ("Requests failed", "rate(argosy_agent_failed_total%s[1m])", "reqps"),
    ("Memory", "argosy_agent_process_pss_bytes%s", "bytes"),
)


def make_dashboard(fleet: Fleet) -> dict[str, Any]:
    """Return the dashboard: an overview, then a row for each group with its agents' metrics."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, spec in fleet.agents.items():
        groups[spec.group or spec.machine or fleet.name].append(name)
    panels = [
        _panel("Agents ready", "stat", [("sum(argosy_agent_up)", "ready")], (0, 0, 4, _HEIGHT)),
        _panel("Agents", "stat", [("count(argosy_agent_up)", "declared")], (4, 0, 4, _HEIGHT)),
        _panel(
            "Not ready",
            "table",
            [("argosy_agent_up == 0", "{{agent}} on {{machine}}")],
            (8, 0, _COLUMNS - 8, _HEIGHT),
        ),
    ]
    y = _HEIGHT
    for group, agents in groups.items():
        panels.append(
            {
                "type": "row",
                "title": group,
                "collapsed": False,
                "panels": [],
                "gridPos": _grid_position(0, y, 24, 1),
            }
        )
        y += 1
        pattern = "|".join(map(re.escape, sorted(agents))).replace("\\", "\\\\")  # in a PromQL string
        labels = f'{{agent=~"{pattern}"}}'
        up = [(f"argosy_agent_up{labels}", "{{agent}}")]
        panels.append(_panel("State", "state-timeline", up, (0, y, _COLUMNS, _HEIGHT)))
        y += _HEIGHT
        width = _COLUMNS // len(_METRIC_PANELS)
        for number, (title, expression, unit) in enumerate(_METRIC_PANELS):
            queries = [(expression % labels, "{{agent}}")]
            panels.append(_panel(title, "timeseries", queries, (number * width, y, width, _HEIGHT), unit))
        y += _HEIGHT
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return {
        "uid": None,
        "title": f"argosy: {fleet.name}",
        "tags": ["argosy"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": panels,
    }


def _panel(
    title: str, kind: str, queries: list[tuple[str, str]], at: tuple[int, int, int, int], unit: str = "none"
) -> dict[str, Any]:
    return {
        "type": kind,
        "title": title,
        "datasource": _SOURCE,
        "gridPos": _grid_position(*at),
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for number, (expression, legend) in enumerate(queries)
        ],
    }


def _grid_position(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}
