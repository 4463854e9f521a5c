"""The figures of all agents in the OpenMetrics text format (openmetrics.io, version 1.0.0)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

from argosy.engine.state import READY_STATES, State
from argosy.hub.standing import Standing

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_COUNTERS: Final = frozenset(("handled", "failed", "missed_events"))
_HIDDEN: Final = frozenset(("status", "process_state"))  # told as argosy_agent_state
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_]")


def exposition(agents: Iterable[Standing]) -> str:
    """Return the page: states, then each figure of each agent, labelled by `agent` and `machine`."""
    listed = sorted(agents, key=lambda each: (each.machine, each.agent))
    lines = ["# TYPE argosy_agent_up gauge", "# HELP argosy_agent_up Whether the agent is ready."]
    ready = {state.value for state in READY_STATES}
    lines += [f"argosy_agent_up{_labels(each)} {int(each.state in ready)}" for each in listed]
    lines += ["# TYPE argosy_agent_state stateset", "# HELP argosy_agent_state What the supervisor says."]
    for each in listed:
        for state in State:
            label = _labels(each, f',argosy_agent_state="{state.value}"')
            lines.append(f"argosy_agent_state{label} {int(each.state == state.value)}")
    for name in sorted({name for each in listed for name in each.figures} - _HIDDEN):
        lines += _family(name, listed)
    return "\n".join([*lines, "# EOF", ""])


def _family(name: str, agents: Iterable[Standing]) -> list[str]:
    family = "argosy_agent_" + _UNFIT.sub("_", name)
    is_counter = name in _COUNTERS
    lines = [f"# TYPE {family} {'counter' if is_counter else 'gauge'}"]
    suffix = "_total" if is_counter else ""
    return lines + [
        f"{family}{suffix}{_labels(each)} {_number(each.figures[name])}"
        for each in agents
        if name in each.figures
    ]


def _labels(of: Standing, more: str = "") -> str:
    return f'{{agent="{_escaped(of.agent)}",machine="{_escaped(of.machine)}"{more}}}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
