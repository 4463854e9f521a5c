"""Recovery rules of the fleet file: which attempts to make for the active alerts, within a budget.

Pure: takes the active alerts and earlier attempts, and returns the next attempts. Each agent has a budget for
each rule. An attempt counts when it starts, whatever its outcome, also one of an earlier hub process, so that
no recovery repeats without bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec


class RecoveryRule(msgspec.Struct, frozen=True):
    """One entry of `hub: {recovery: …}`, with times in seconds. index: its position there."""

    index: int
    action: Literal["restart", "restart-dependents", "run"]
    run: tuple[str, ...] = ()
    agents: frozenset[str] = frozenset()
    metric: str | None = None
    max_attempts: int = 3
    within_s: float = 3600.0
    pause_s: float = 30.0

    def matches(self, alert: Mapping[str, Any]) -> bool:
        """Return whether the rule applies to an alert."""
        category = "unhealthy" if self.metric is None else "threshold"
        is_subject_of_rule = alert.get("category") == category and (
            self.metric is None or alert.get("metric") == self.metric
        )
        return is_subject_of_rule and (not self.agents or alert.get("subject") in self.agents)


class RecoveryAttempt(msgspec.Struct, frozen=True):
    """An attempt to make now. key: of the alert. number: its number within the rule's window, from 1.

    is_exhausted: the budget is used up, so nothing is done.
    """

    rule: RecoveryRule
    agent: str
    key: str
    number: int
    is_exhausted: bool = False

    def event_body(self) -> dict[str, Any]:
        """Return the body of a `recovery` event."""
        return {
            "action": self.rule.action,
            "rule": self.rule.index,
            "alert": self.key,
            "attempt": self.number,
            "max_attempts": self.rule.max_attempts,
        }


class RecoveryPolicy:
    """The rules of one machine and the attempts made so far."""

    def __init__(self, rules: Sequence[RecoveryRule] = ()) -> None:
        self.rules = rules
        self._attempt_times: dict[tuple[int, str], list[float]] = {}
        self._exhausted: set[tuple[int, str]] = set()  # rule and agent whose exhaustion was reported

    def count_attempt(self, rule: int, agent: str, at_s: float) -> None:
        """Count an attempt."""
        self._attempt_times.setdefault((rule, agent), []).append(at_s)

    def next_attempts(
        self, active_alerts: Iterable[Mapping[str, Any]], now_s: float
    ) -> list[RecoveryAttempt]:
        """Return the attempts due for the active alerts; the first matching rule of an alert counts."""
        found = []
        for alert in active_alerts:
            rule = next((rule for rule in self.rules if rule.matches(alert)), None)
            attempt = (
                self._next_attempt(rule, str(alert["subject"]), str(alert["key"]), now_s) if rule else None
            )
            if attempt:
                found.append(attempt)
        return found

    def _next_attempt(self, rule: RecoveryRule, agent: str, key: str, now_s: float) -> RecoveryAttempt | None:
        budget_key = rule.index, agent
        attempt_times = self._attempt_times[budget_key] = [
            at for at in self._attempt_times.get(budget_key, ()) if at > now_s - rule.within_s
        ]
        if attempt_times and now_s < attempt_times[-1] + rule.pause_s:
            return None
        if len(attempt_times) < rule.max_attempts:
            self._exhausted.discard(budget_key)
            attempt_times.append(now_s)
            return RecoveryAttempt(rule, agent, key, len(attempt_times))
        if budget_key in self._exhausted:
            return None
        self._exhausted.add(budget_key)
        return RecoveryAttempt(rule, agent, key, len(attempt_times), is_exhausted=True)
