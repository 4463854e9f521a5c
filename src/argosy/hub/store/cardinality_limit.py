"""Limits the cardinality of each agent's metrics: the number of names and of sets of names.

An agent that derives metric names from its input, such as a user id, would fill the memory and disk of every
hub, and `/metrics`. So the number of names is limited; values with further names are dropped and reported by
an event. An agent that reports ever new sets of its names has its metrics stored one by one.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from typing import Final

from argosy.hub.store.records import HubEvent, MetricSample

MAX_NAMES: Final = 1000
MAX_NAME_SETS: Final = 64
_EXPIRE_AFTER_S: Final = 3600.0  # age at which an unused name is replaced
_REPORT_EVERY_S: Final = 60.0


class _AgentNames:
    """The names of one agent. names, name_sets: when each was last used, monotonic seconds.

    A name of a set in use may have an older time than the set.
    """

    def __init__(self) -> None:
        self.names: dict[str, float] = {}
        self.name_sets: dict[tuple[str, ...], float] = {}
        self.next_sweep_s = 0.0
        self.dropped = 0
        self.next_report_s = 0.0


class CardinalityLimit:
    """The limit for all agents of one hub. max_names: of each agent."""

    def __init__(self, max_names: int = MAX_NAMES) -> None:
        self.max_names = max_names
        self._agents: dict[str, _AgentNames] = {}

    def admit(self, samples: Sequence[MetricSample]) -> tuple[list[MetricSample], list[HubEvent]]:
        """Return the admitted samples, and events that report the dropped ones."""
        now_s = time.monotonic()
        admitted: list[MetricSample] = []
        events: list[HubEvent] = []
        for sample in samples:
            agent = self._agents.setdefault(sample.agent, _AgentNames())
            if sample.names in agent.name_sets:  # the usual case
                agent.name_sets[sample.names] = now_s
                admitted.append(sample)
            else:
                admitted += self._limit_name_sets(agent, self._limit_names(agent, sample, now_s), now_s)
            if agent.dropped and now_s >= agent.next_report_s:
                events.append(_dropped_event(sample.agent, agent.dropped, self.max_names))
                agent.dropped, agent.next_report_s = 0, now_s + _REPORT_EVERY_S
        return admitted, events

    def _limit_names(self, agent: _AgentNames, sample: MetricSample, now_s: float) -> MetricSample:
        """Return a sample with the names within the limit; new names are admitted up to it."""
        new = [name for name in sample.names if name not in agent.names]
        left_out = set(new[self._free_names(agent, len(new), now_s) :])
        places = [place for place, name in enumerate(sample.names) if name not in left_out]
        agent.names.update((sample.names[place], now_s) for place in places)
        if not left_out:
            return sample
        agent.dropped += len(sample.names) - len(places)
        values = array("d", sample.values)
        return MetricSample(
            sample.agent,
            tuple(sample.names[place] for place in places),
            sample.time_ms,
            array("d", [values[place] for place in places]).tobytes(),
        )

    def _free_names(self, agent: _AgentNames, wanted: int, now_s: float) -> int:
        """Return how many further names are allowed, after expiring unused ones if necessary."""
        free = self.max_names - len(agent.names)
        if free < wanted and now_s >= agent.next_sweep_s:
            agent.next_sweep_s = now_s + _REPORT_EVERY_S
            _expire_names(agent, now_s - _EXPIRE_AFTER_S)
            free = self.max_names - len(agent.names)
        return max(0, free)

    def _limit_name_sets(self, agent: _AgentNames, sample: MetricSample, now_s: float) -> list[MetricSample]:
        if sample.names in agent.name_sets or len(agent.name_sets) < MAX_NAME_SETS:
            agent.name_sets[sample.names] = now_s
            return [sample]
        return [
            MetricSample(sample.agent, (name,), sample.time_ms, sample.values[8 * place : 8 * place + 8])
            for place, name in enumerate(sample.names)
        ]


def _expire_names(agent: _AgentNames, before_s: float) -> None:
    """Drop the names not used since `before_s`, and the sets that contain one of them."""
    for names, at_s in agent.name_sets.items():
        agent.names.update((name, max(at_s, agent.names.get(name, at_s))) for name in names)
    agent.names = {name: at_s for name, at_s in agent.names.items() if at_s > before_s}
    agent.name_sets = {
        names: at_s for names, at_s in agent.name_sets.items() if agent.names.keys() >= set(names)
    }


def _dropped_event(agent: str, count: int, max_names: int) -> HubEvent:
    values = "1 value was" if count == 1 else f"{count} values were"
    text = f"`{agent}` has more than {max_names} metric names: {values} dropped"
    body = {"level": "warning", "dropped": count, "max_names": max_names, "text": text}
    return HubEvent(int(time.time() * 1000), "metrics-dropped", agent, body)
