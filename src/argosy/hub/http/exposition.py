"""The metrics of all agents in the OpenMetrics text format (openmetrics.io, version 1.0.0)."""

from __future__ import annotations

import functools
import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from argosy.engine.protocol.state_machine import READY_STATES, State
from argosy.hub.ingest.current_state import AgentSnapshot

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_COUNTERS: Final = frozenset(("handled", "failed", "missed_events"))
_SAMPLES_PER_PIECE: Final = 500
_HIDDEN_METRICS: Final = frozenset(("status", "process_state"))  # exported as argosy_agent_state
_READY_STATES: Final = frozenset(state.value for state in READY_STATES)
_RESERVED_LABELS: Final = frozenset(("agent", "machine"))
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"')
_LABELLED: Final = re.compile(rf"([^{{]+)\{{({_LABEL.pattern}(?:,{_LABEL.pattern})*)\}}")
_INVALID_CHARACTERS: Final = re.compile(r"[^a-zA-Z0-9_]")


def render_openmetrics(agents: Iterable[AgentSnapshot]) -> str:
    """Return the text: states, then each metric of each agent, labelled by `agent` and `machine`.

    A stale metric is left out, as are those of a target that cannot be scraped.
    """
    return "".join(render_pieces(agents))


def render_pieces(agents: Iterable[AgentSnapshot]) -> Iterator[str]:
    """Yield the text of `render_openmetrics` in pieces of at most `_SAMPLES_PER_PIECE` samples of work.

    All pieces show the state at the first piece.
    """
    listed, now_s = sorted(agents, key=lambda each: (each.machine, each.agent)), time.monotonic()
    captured = [(each, each.metrics, each.stale_metrics(now_s)) for each in listed]
    yield _states(listed)
    families: dict[str, dict[str, float]] = {}
    left = _SAMPLES_PER_PIECE
    for each, metrics, stale in captured:
        own = _labels(each)[:-1]
        for name, value in metrics.items():
            if name not in _HIDDEN_METRICS and name not in stale:
                base, labels = _split_name(name)
                families.setdefault(base, {}).setdefault(f"{own}{labels}}}", value)
            left -= 1
            if not left:
                left = _SAMPLES_PER_PIECE
                yield ""
    yield from _family_pieces(families)
    yield "# EOF\n"


def _states(listed: Sequence[AgentSnapshot]) -> str:
    lines = [
        "# TYPE argosy_agent_up gauge",
        "# HELP argosy_agent_up Whether the agent is ready and not silent.",
        *(f"argosy_agent_up{_labels(each)} {int(is_up(each))}" for each in listed),
        "# TYPE argosy_agent_last_seen_timestamp_seconds gauge",
        "# UNIT argosy_agent_last_seen_timestamp_seconds seconds",
        "# HELP argosy_agent_last_seen_timestamp_seconds When the agent last reported.",
    ]
    for each in listed:
        if (seen := each.last_seen()) is not None:
            lines.append(f"argosy_agent_last_seen_timestamp_seconds{_labels(each)} {_number(seen)}")
    lines += [
        "# TYPE argosy_agent_state stateset",
        "# HELP argosy_agent_state The agent's state by its supervisor.",
    ]
    for each in listed:
        for state in State:
            label = _labels(each, f',argosy_agent_state="{state.value}"')
            lines.append(f"argosy_agent_state{label} {int(each.state == state.value)}")
    return "\n".join([*lines, ""])


def _family_pieces(families: dict[str, dict[str, float]]) -> Iterator[str]:
    lines: list[str] = []
    for base in sorted(families):
        stem = base.removesuffix("_total")
        is_monotonic = (
            is_counter(base)
            and (stem == base or stem not in families)
            and all(value >= 0 for value in families[base].values())  # OpenMetrics counters are not negative
        )
        family = "argosy_agent_" + (stem if is_monotonic else base)
        lines.append(f"# TYPE {family} {'counter' if is_monotonic else 'gauge'}")
        suffix = "_total" if is_monotonic else ""
        for labels, value in families[base].items():
            lines.append(f"{family}{suffix}{labels} {_number(value)}")
            if len(lines) >= _SAMPLES_PER_PIECE:
                yield "\n".join([*lines, ""])
                lines = []
    yield "\n".join([*lines, ""])


def is_up(agent: AgentSnapshot) -> bool:
    """Return whether an agent is ready and not silent."""
    return agent.state in _READY_STATES and agent.silent_since is None


@functools.lru_cache(20_000)
def _split_name(metric: str) -> tuple[str, str]:
    """Return the name and labels of a metric; labels that collide with its agent's are named `exported_…`."""
    found = _LABELLED.fullmatch(metric)
    if found is None:
        return _INVALID_CHARACTERS.sub("_", metric), ""
    labels = dict(_LABEL.findall(found[2]))
    texts = [
        f'{f"exported_{name}" if name in _RESERVED_LABELS else name}="{value}"'
        for name, value in labels.items()
    ]
    return _INVALID_CHARACTERS.sub("_", found[1]), "," + ",".join(texts)


def is_counter(metric: str) -> bool:
    """Return whether a metric is a counter."""
    base = metric.partition("{")[0]
    return base in _COUNTERS or base.endswith("_total")


def _labels(snapshot: AgentSnapshot, extra: str = "") -> str:
    return f'{{agent="{_escaped(snapshot.agent)}",machine="{_escaped(snapshot.machine)}"{extra}}}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
