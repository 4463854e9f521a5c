"""When to raise an alert: one for each cause, with what hangs on it, along the graph that starts the fleet.

Pure: it is told states, figures and the time, and answers with notices. An agent is in *trouble* when it was
ready and is not, or when it failed before it ever was. Its *cause* is the need of it that is in trouble and
has no such need itself; only causes raise alerts, and their dependents are listed under them.

An alert is raised when its trouble has lasted, and cleared when it has been over for a while. The third raise
within ten minutes says that it flaps, and nothing more is said of it until it has been calm for five. What
the engine does itself (an apply, a restart, a stop) opens a quiet window: nothing is raised in it, and its
time does not count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from argosy.engine.process import describe_exit

FLAPS: Final = 3
FLAP_WITHIN_S: Final = 600.0
CALM_S: Final = 300.0
_FINE: Final = frozenset(("ready", "stopping", "unknown"))
_NEVER_FINE: Final = frozenset(("failing", "given-up", "blocked"))  # also of one that was never ready


class Notice(msgspec.Struct, frozen=True):
    """What is told. key: of the alert, the same when it is cleared; subject: the agent, or the machine."""

    kind: Literal["raised", "cleared"]
    key: str
    subject: str
    at_s: float
    since_s: float
    text: str
    dependents: tuple[str, ...] = ()
    is_flapping: bool = False

    def body(self) -> dict[str, Any]:
        """Return it as the body of an event."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class Threshold(msgspec.Struct, frozen=True):
    """A bound of a figure. for_s: how long it has to be passed."""

    figure: str
    above: float | None = None
    below: float | None = None
    for_s: float = 30.0
    agents: frozenset[str] | None = None

    def is_passed(self, value: float) -> bool:
        """Return whether a value is beyond the bound."""
        return (self.above is not None and value > self.above) or (
            self.below is not None and value < self.below
        )

    @property
    def words(self) -> str:
        """The bound, for people."""
        return (
            f"{self.figure} above {self.above:g}"
            if self.above is not None
            else f"{self.figure} below {self.below:g}"
        )


class _Alert:
    """One condition: how long it has held or has been over, and what was said of it."""

    def __init__(self) -> None:
        self.held_s: float | None = None  # since when it holds
        self.over_s: float | None = None  # since when it is over, while it is raised
        self.is_raised = False
        self.is_muted = False
        self.raises: deque[float] = deque(maxlen=FLAPS)


class Alerting:
    """The alerts of one machine. after_s, clear_s: how long trouble, and its end, have to last."""

    def __init__(
        self,
        needs: Mapping[str, Sequence[str]],
        after_s: float = 3.0,
        clear_s: float = 10.0,
        thresholds: Sequence[Threshold] = (),
    ) -> None:
        self.needs = needs
        self._after_s, self._clear_s = after_s, clear_s
        self._thresholds = thresholds
        self._states: dict[str, tuple[str, str]] = {}  # agent to state and reason
        self._were_ready: set[str] = set()
        self._quiet = 0
        self._alerts: dict[str, _Alert] = {}
        self._values: dict[tuple[str, int], bool] = {}
        self._blind: dict[str, str] = {}

    # -- what it is told ----------------------------------------------------------------------

    def hear_state(self, agent: str, state: str, reason: str) -> None:
        """Take an agent's state; one that was stopped, or ended in order, need not be ready any more."""
        before, _ = self._states.get(agent, ("unknown", ""))
        if (before, state) != ("exited", "exited"):
            self._states[agent] = state, reason
        if state in ("ready", "degraded"):
            self._were_ready.add(agent)
        elif state == "exited" and (before in ("stopping", "unknown") or reason == describe_exit(0)):
            self._were_ready.discard(agent)

    def hear_figures(self, agent: str, figures: Mapping[str, float]) -> None:
        """Take an agent's figures."""
        for number, threshold in enumerate(self._thresholds):
            if threshold.figure in figures and (threshold.agents is None or agent in threshold.agents):
                self._values[agent, number] = threshold.is_passed(figures[threshold.figure])

    def hear_sight(self, machine: str, *, is_blind: bool, reason: str) -> None:
        """Take whether another machine can be seen."""
        if is_blind:
            self._blind[machine] = reason
        else:
            self._blind.pop(machine, None)

    def open_quiet(self) -> None:
        """Begin planned work."""
        self._quiet += 1

    def close_quiet(self, *, all_: bool = False) -> None:
        """End planned work, or whatever is open."""
        self._quiet = 0 if all_ else max(0, self._quiet - 1)

    # -- what it answers ----------------------------------------------------------------------

    def look(self, now_s: float) -> list[Notice]:
        """Return what is to be told now; to be called about once a second."""
        if self._quiet:
            for alert in self._alerts.values():
                if alert.held_s is not None and not alert.is_raised:
                    alert.held_s = now_s
            return []
        held: dict[str, tuple[str, str, tuple[str, ...], float]] = {}
        for cause, dependents in self._causes().items():
            state, reason = self._states[cause]
            text = f"{cause} is {state}" + (f": {reason}" if reason else "")
            held[f"agent:{cause}"] = cause, text, dependents, self._after_s
        for (agent, number), is_passed in self._values.items():
            if is_passed:
                threshold = self._thresholds[number]
                key = f"threshold:{agent}:{threshold.words}"
                held[key] = agent, f"{threshold.words} of {agent}", (), threshold.for_s
        for machine, reason in self._blind.items():
            held[f"machine:{machine}"] = machine, f"{machine} cannot be seen: {reason}", (), self._after_s
        notices = []
        for key in {**held, **self._alerts}:
            notice = self._judge(key, held.get(key), now_s)
            if notice:
                notices.append(notice)
        return notices

    def _judge(
        self, key: str, held: tuple[str, str, tuple[str, ...], float] | None, now_s: float
    ) -> Notice | None:
        alert = self._alerts.setdefault(key, _Alert())
        if held is None:
            return self._judge_over(key, alert, now_s)
        subject, text, dependents, after_s = held
        alert.over_s = None
        alert.held_s = now_s if alert.held_s is None else alert.held_s
        if alert.is_raised or now_s - alert.held_s < after_s:
            return None
        alert.is_raised = True
        alert.raises.append(now_s)
        if alert.is_muted:
            return None
        is_flapping = len(alert.raises) == FLAPS and now_s - alert.raises[0] <= FLAP_WITHIN_S
        alert.is_muted = is_flapping
        return Notice("raised", key, subject, now_s, alert.held_s, text, dependents, is_flapping)

    def _judge_over(self, key: str, alert: _Alert, now_s: float) -> Notice | None:
        """Clear what has been over for long enough; what flapped, once it has been calm."""
        if not alert.is_raised and not alert.is_muted:
            alert.held_s = None
            if not alert.raises or now_s - alert.raises[-1] > FLAP_WITHIN_S:
                del self._alerts[key]
            return None
        alert.over_s = now_s if alert.over_s is None else alert.over_s
        calm_s = now_s - alert.over_s
        if alert.is_raised and calm_s >= self._clear_s:
            alert.is_raised = False
            if not alert.is_muted:
                return self._cleared(key, alert, now_s)
        if alert.is_muted and calm_s >= CALM_S:
            alert.is_muted = False
            alert.raises.clear()
            return self._cleared(key, alert, now_s)
        return None

    def _cleared(self, key: str, alert: _Alert, now_s: float) -> Notice:
        since_s = now_s if alert.held_s is None else alert.held_s
        alert.held_s = alert.over_s = None
        subject = key.split(":")[1]
        return Notice("cleared", key, subject, now_s, since_s, f"{subject} is well again")

    # -- causes -------------------------------------------------------------------------------

    def _in_trouble(self, agent: str) -> bool:
        state = self._states.get(agent, ("unknown", ""))[0]
        return state in _NEVER_FINE or (agent in self._were_ready and state not in _FINE)

    def _causes(self) -> dict[str, tuple[str, ...]]:
        """Return the causes of all trouble, each with the agents that hang on it."""
        found: dict[str, list[str]] = {}
        for agent in self._states:
            if self._in_trouble(agent):
                cause = self._cause_of(agent)
                found.setdefault(cause, [])
                if cause != agent:
                    found[cause].append(agent)
        return {cause: tuple(sorted(dependents)) for cause, dependents in found.items()}

    def _cause_of(self, agent: str) -> str:
        seen = {agent}
        while True:
            above = next(
                (need for need in self.needs.get(agent, ()) if need not in seen and self._in_trouble(need)),
                None,
            )
            if above is None:
                return agent
            seen.add(above)
            agent = above
