"""Recovery: what the fleet file asks the hub to do about an alert, how often, and when it is enough.

Pure: it is told what is open and what has been tried, and answers with the next attempts. Each agent has a
budget for each rule; an attempt is counted when it is begun, whatever comes of it, also one of an earlier
life of the hub, so that nothing can go round for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec


class RecoveryRule(msgspec.Struct, frozen=True):
    """One entry of `hub: {recovery: …}`, with times in seconds. number: its place there."""

    index: int
    action: Literal["restart", "restart-dependents", "run"]
    run: tuple[str, ...] = ()
    agents: frozenset[str] = frozenset()
    metric: str | None = None
    max_attempts: int = 3
    within_s: float = 3600.0
    pause_s: float = 30.0

    def matches(self, alert: Mapping[str, Any]) -> bool:
        """Return whether an alert is one of those that it is about."""
        category = "trouble" if self.metric is None else "threshold"
        is_category = alert.get("about") == category and (
            self.metric is None or alert.get("figure") == self.metric
        )
        return is_category and (not self.agents or alert.get("subject") in self.agents)


class RecoveryAttempt(msgspec.Struct, frozen=True):
    """Something to do now. number: the how many-th within the rule's time, from 1; of: how many there may be.

    is_last_word: nothing is done, for the budget is used up.
    """

    rule: RecoveryRule
    agent: str
    key: str
    number: int
    is_exhausted: bool = False

    def event_body(self) -> dict[str, Any]:
        """Return it as the body of an event."""
        return {
            "do": self.rule.action,
            "rule": self.rule.index,
            "alert": self.key,
            "attempt": self.number,
            "of": self.rule.max_attempts,
        }


class RecoveryPolicy:
    """The rules of one machine, and what has been tried by them."""

    def __init__(self, rules: Sequence[RecoveryRule] = ()) -> None:
        self.rules = rules
        self._attempt_times: dict[tuple[int, str], list[float]] = {}
        self._exhausted: set[tuple[int, str]] = set()  # whose budget is known to be used up

    def count_attempt(self, rule: int, agent: str, at_s: float) -> None:
        """Count an attempt that was made."""
        self._attempt_times.setdefault((rule, agent), []).append(at_s)

    def next_attempts(
        self, active_alerts: Iterable[Mapping[str, Any]], now_s: float
    ) -> list[RecoveryAttempt]:
        """Return what is to be done about the alerts that are open; the first rule for an alert counts."""
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
