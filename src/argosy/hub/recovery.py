"""Recovery: what the fleet file asks the hub to do about an alert, how often, and when it is enough.

Pure: it is told what is open and what has been tried, and answers with the next attempts. Each agent has a
budget for each rule; an attempt is counted when it is begun, whatever comes of it, also one of an earlier
life of the hub, so that nothing can go round for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec


class Rule(msgspec.Struct, frozen=True):
    """One entry of `hub: {recovery: …}`, with times in seconds. number: its place there."""

    number: int
    do: Literal["restart", "restart-dependents", "run"]
    run: tuple[str, ...] = ()
    agents: frozenset[str] = frozenset()
    figure: str | None = None
    times: int = 3
    within_s: float = 3600.0
    pause_s: float = 30.0

    def is_for(self, alert: Mapping[str, Any]) -> bool:
        """Return whether an alert is one of those that it is about."""
        about = "trouble" if self.figure is None else "threshold"
        is_kind = alert.get("about") == about and (self.figure is None or alert.get("figure") == self.figure)
        return is_kind and (not self.agents or alert.get("subject") in self.agents)


class Attempt(msgspec.Struct, frozen=True):
    """Something to do now. number: the how many-th within the rule's time, from 1; of: how many there may be.

    is_last_word: nothing is done, for the budget is used up.
    """

    rule: Rule
    agent: str
    key: str
    number: int
    is_last_word: bool = False

    def body(self) -> dict[str, Any]:
        """Return it as the body of an event."""
        return {
            "do": self.rule.do,
            "rule": self.rule.number,
            "alert": self.key,
            "attempt": self.number,
            "of": self.rule.times,
        }


class Recovery:
    """The rules of one machine, and what has been tried by them."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = rules
        self._tried: dict[tuple[int, str], list[float]] = {}
        self._has_ended: set[tuple[int, str]] = set()  # whose budget is known to be used up

    def remember(self, rule: int, agent: str, at_s: float) -> None:
        """Count an attempt that was made."""
        self._tried.setdefault((rule, agent), []).append(at_s)

    def attempts(self, open_: Iterable[Mapping[str, Any]], now_s: float) -> list[Attempt]:
        """Return what is to be done about the alerts that are open; the first rule for an alert counts."""
        found = []
        for alert in open_:
            rule = next((rule for rule in self.rules if rule.is_for(alert)), None)
            attempt = self._next(rule, str(alert["subject"]), str(alert["key"]), now_s) if rule else None
            if attempt:
                found.append(attempt)
        return found

    def _next(self, rule: Rule, agent: str, key: str, now_s: float) -> Attempt | None:
        which = rule.number, agent
        tried = self._tried[which] = [at for at in self._tried.get(which, ()) if at > now_s - rule.within_s]
        if tried and now_s < tried[-1] + rule.pause_s:
            return None
        if len(tried) < rule.times:
            self._has_ended.discard(which)
            tried.append(now_s)
            return Attempt(rule, agent, key, len(tried))
        if which in self._has_ended:
            return None
        self._has_ended.add(which)
        return Attempt(rule, agent, key, len(tried), is_last_word=True)
