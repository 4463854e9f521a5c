"""When to raise an alert: one for each cause, with what hangs on it, along the graph that starts the fleet.

Pure: it is told states, figures and the time, and answers with notices. Only causes (`causes.py`) raise
alerts, and their dependents are listed under them.

An alert is raised when its trouble has lasted, and cleared when it has been over for a while. The third raise
within ten minutes says that it flaps, and nothing more is said of it until it has been calm for five. In a
quiet window (`quiet.py`) nothing is raised, and its time does not count. A machine that cannot be seen has
been waited for already, and is told at once; one that was never seen yet gets the time to start. The store
of this machine's hub is an alert of its own while it takes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from argosy.hub.causes import Causes
from argosy.hub.pace import Pace
from argosy.hub.quiet import Quiet, Window, Word

FLAPS: Final = 3
FLAP_WITHIN_S: Final = 600.0
CALM_S: Final = 300.0
UNSEEN_S: Final = 15.0  # that another machine may take to be seen for the first time
About = Literal["trouble", "threshold", "machine", "slow-start", "store"]
_ABOUT: Final[dict[str, About]] = {  # by how a key begins
    "agent": "trouble",
    "threshold": "threshold",
    "machine": "machine",
    "slow-start": "slow-start",
    "store": "store",
}
_AT_REST: Final = frozenset(("stopping", "exited"))


class Notice(msgspec.Struct, frozen=True):
    """What is told. key: of the alert, the same when it is cleared; subject: the agent, or the machine.

    about: what kind of alert it is; figure: of a threshold.
    """

    kind: Literal["raised", "cleared"]
    key: str
    subject: str
    at_s: float
    since_s: float
    text: str
    dependents: tuple[str, ...] = ()
    is_flapping: bool = False
    about: About = "trouble"
    figure: str = ""

    def body(self) -> dict[str, Any]:
        """Return it as the body of an event."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class Threshold(msgspec.Struct, frozen=True):
    """A bound of a figure. for_s, clear_s: how long it has to be passed, and kept again (None: as all)."""

    figure: str
    above: float | None = None
    below: float | None = None
    for_s: float = 30.0
    clear_s: float | None = None
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


class _Held(msgspec.Struct, frozen=True):
    """A condition that holds now. after_s, clear_s: how long it, and its end, have to last.

    since_s: when it began, where that is known better than by looking.
    """

    subject: str
    text: str
    about: About
    after_s: float
    clear_s: float
    dependents: tuple[str, ...] = ()
    since_s: float | None = None
    figure: str = ""


class _Alert:
    """One condition: how long it has held or has been over, and what was said of it."""

    def __init__(self) -> None:
        self.held_s: float | None = None  # since when it holds
        self.over_s: float | None = None  # since when it is over, while it is raised
        self.clear_s = 0.0
        self.is_raised = False
        self.is_muted = False
        self.raises: deque[float] = deque(maxlen=FLAPS)


class Alerting:
    """The alerts of one machine."""

    def __init__(
        self,
        needs: Mapping[str, Sequence[str]] | None = None,
        after_s: float = 3.0,
        clear_s: float = 10.0,
        thresholds: Sequence[Threshold] = (),
    ) -> None:
        self.causes = Causes({})
        self.take(needs or {}, after_s, clear_s, thresholds)
        self.quiet = Quiet()
        self.pace = Pace()
        self._alerts: dict[str, _Alert] = {}
        self._blind: dict[str, str] = {}
        self._seen: set[str] = set()
        self._stores: dict[str, str] = {}  # machines whose store takes nothing, and what is told of it
        self._slow: dict[str, tuple[str, ...]] = {}  # alerts of slow starts, with the agents of each
        self._held_back: dict[str, float] = {}  # until when a quiet window covered what holds

    # -- what it is told ----------------------------------------------------------------------

    def take(
        self,
        needs: Mapping[str, Sequence[str]],
        after_s: float,
        clear_s: float,
        thresholds: Sequence[Threshold] = (),
    ) -> None:
        """Go by this graph and these bounds. after_s, clear_s: how long trouble and its end have to last."""
        self.causes.needs = needs
        self._after_s, self._clear_s = after_s, clear_s
        self._thresholds = thresholds
        self._values: dict[tuple[str, int], bool] = {}  # whether a figure is beyond its bound

    def hear_state(self, agent: str, state: str, reason: str, since_s: float | None = None) -> None:
        """Take an agent's state. since_s: epoch seconds, where that is known."""
        self.causes.hear(agent, state, reason, since_s)
        if state in _AT_REST:
            for key in [key for key in self._values if key[0] == agent]:
                del self._values[key]  # it has no figures any more

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
            self._seen.add(machine)

    def hear_store(self, machine: str, text: str) -> None:
        """Take what is to be told of a machine's store that takes nothing; empty: it takes what comes."""
        if text:
            self._stores[machine] = text
        else:
            self._stores.pop(machine, None)

    def open_quiet(self, key: str, agents: Iterable[str] | None, until_s: float) -> None:
        """Begin the quiet window of an order: of some agents and all that need them; None for everything."""
        self.quiet.open(Window(key, self._with_dependents(agents), until_s))

    def hear_quiet(self, word: Word) -> bool:
        """Take a person's word on what is to be quiet, with all that needs it, or is not any more; return
        whether it was.
        """
        window = None
        if word.until_s is not None:
            covered = self._with_dependents(word.agents)
            window = Window(word.asked.key, covered, word.until_s, word.by, word.asked, word.clock)
        said_s = word.said_s - self.quiet.skews.get(word.clock, 0.0)
        return self.quiet.say(word.asked.key, said_s, window)

    def _with_dependents(self, agents: Iterable[str] | None) -> frozenset[str] | None:
        return None if agents is None else frozenset(self.causes.with_dependents(agents))

    def restore(self, key: str, since_s: float, dependents: Iterable[str]) -> None:
        """Take an alert that was raised before this process began; it is not raised once more."""
        alert = self._alerts.setdefault(key, _Alert())
        alert.held_s, alert.is_raised, alert.clear_s = since_s, True, self._clear_s
        about, _, subject = key.partition(":")
        if about == "agent":
            self.causes.were_ready((subject, *dependents))

    # -- what it answers ----------------------------------------------------------------------

    def look(self, now_s: float) -> list[Notice]:
        """Return what is to be told now; to be called about once a second."""
        held = {
            **self._troubles(now_s),
            **self._passed(),
            **self._sights(),
            **self._full_stores(),
            **self._slow_starts(now_s),
        }
        subjects = {
            key: held[key].subject if key in held else key.split(":")[1] for key in {**held, **self._alerts}
        }
        machines = {key for key in subjects if key.startswith(("machine:", "store:"))}
        agents = self.quiet.covered({subjects[key] for key in subjects.keys() - machines}, now_s)
        unseen = self.quiet.covered_machines({subjects[key] for key in machines}, now_s)
        notices = []
        for key, subject in subjects.items():
            if subject in (unseen if key in machines else agents):
                self._wait(key, now_s)
            elif notice := self._judge(key, held.get(key), now_s):
                notices.append(notice)
        return notices

    def holds(self, key: str) -> bool:
        """Return whether what an alert is about holds still: its subject itself is not well."""
        alert = self._alerts.get(key)
        if alert is None or alert.held_s is None or alert.over_s is not None:
            return False
        about, _, subject = key.partition(":")
        return about != "agent" or self.causes.is_in_trouble(subject)

    def hanging_on(self, key: str) -> tuple[str, ...]:
        """Return who hangs on the cause of an alert now."""
        about, _, subject = key.partition(":")
        return self.causes.all().get(subject, ()) if about == "agent" else ()

    # -- what holds ---------------------------------------------------------------------------

    def _troubles(self, now_s: float) -> dict[str, _Held]:
        held = {}
        for cause, dependents in self.causes.all().items():
            state, reason, since_s = self.causes.stand(cause)
            text = f"{cause} is {state}" + (f": {reason}" if reason else "")
            if not self.causes.is_in_trouble(cause):
                text = f"{cause} is {state} again, and {len(dependents)} that need it are not yet"
            began_s = None if since_s is None else min(since_s, now_s)
            held[f"agent:{cause}"] = _Held(
                cause, text, "trouble", self._after_s, self._clear_s, dependents, began_s
            )
        return held

    def _passed(self) -> dict[str, _Held]:
        held = {}
        for (agent, number), is_passed in self._values.items():
            if is_passed:
                bound = self._thresholds[number]
                clear_s = self._clear_s if bound.clear_s is None else bound.clear_s
                held[f"threshold:{agent}:{bound.words}"] = _Held(
                    agent, f"{bound.words} of {agent}", "threshold", bound.for_s, clear_s, figure=bound.figure
                )
        return held

    def _sights(self) -> dict[str, _Held]:
        return {
            f"machine:{machine}": _Held(
                machine,
                f"{machine} cannot be seen: {reason}",
                "machine",
                0.0 if machine in self._seen else UNSEEN_S,
                self._clear_s,
            )
            for machine, reason in self._blind.items()
        }

    def _full_stores(self) -> dict[str, _Held]:
        return {
            f"store:{machine}": _Held(machine, text, "store", self._after_s, self._clear_s)
            for machine, text in self._stores.items()
        }

    def _slow_starts(self, now_s: float) -> dict[str, _Held]:
        """Return slow starts, those that are found together as one; after planned work, not in it."""
        slow = self.pace.slow(now_s)
        told = {agent for agents in self._slow.values() for agent in agents}
        new = sorted(set(slow) - told - self.quiet.covered(slow, now_s), key=lambda name: -slow[name].took_s)
        if new:
            self._slow[f"slow-start:{new[0]}"] = tuple(new)
        held = {}
        for key, agents in list(self._slow.items()):
            listed = [slow[agent] for agent in agents if agent in slow]
            if not listed:
                del self._slow[key]
                continue
            words = "; ".join(each.words for each in listed[:3])
            more = f"; and {len(listed) - 3} more" if len(listed) > 3 else ""
            held[key] = _Held(
                agents[0], f"slower to start than before: {words}{more}", "slow-start", 0.0, self._clear_s
            )
            for each in listed:
                if each.is_over:
                    self.pace.forget(each.agent)
        return held

    # -- raising and clearing -----------------------------------------------------------------

    def _wait(self, key: str, now_s: float) -> None:
        alert = self._alerts.get(key)
        if alert is not None and alert.held_s is not None and not alert.is_raised:
            alert.held_s = now_s
        self._held_back[key] = now_s

    def _judge(self, key: str, held: _Held | None, now_s: float) -> Notice | None:
        alert = self._alerts.setdefault(key, _Alert())
        if held is None:
            return self._judge_over(key, alert, now_s)
        alert.over_s, alert.clear_s = None, held.clear_s
        if alert.held_s is None:
            began_s = now_s if held.since_s is None else held.since_s
            alert.held_s = max(began_s, self._held_back.pop(key, began_s))
        if alert.is_raised or now_s - alert.held_s < held.after_s:
            return None
        alert.is_raised = True
        alert.raises.append(now_s)
        if alert.is_muted:
            return None
        is_flapping = len(alert.raises) == FLAPS and now_s - alert.raises[0] <= FLAP_WITHIN_S
        alert.is_muted = is_flapping
        return Notice(
            "raised",
            key,
            held.subject,
            now_s,
            alert.held_s,
            held.text,
            held.dependents,
            is_flapping,
            held.about,
            held.figure,
        )

    def _judge_over(self, key: str, alert: _Alert, now_s: float) -> Notice | None:
        """Clear what has been over for long enough; what flapped, once it has been calm."""
        if not alert.is_raised and not alert.is_muted:
            alert.held_s = None
            if not alert.raises or now_s - alert.raises[-1] > FLAP_WITHIN_S:
                del self._alerts[key]
            return None
        alert.over_s = now_s if alert.over_s is None else alert.over_s
        calm_s = now_s - alert.over_s
        if alert.is_raised and calm_s >= alert.clear_s:
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
        about, subject = key.split(":")[:2]
        text = {
            "machine": f"{subject} can be seen again",
            "store": f"the store of {subject or 'this machine'} takes what comes again",
            "slow-start": f"the slow start of {subject} is over",
            "threshold": f"{key.split(':', 2)[-1]} of {subject} is over",
        }.get(about, f"{subject} is well again")
        if about == "agent" and self.causes.is_in_trouble(subject):
            text = f"{subject} is counted under {self.causes.of(subject)} now"
        return Notice("cleared", key, subject, now_s, since_s, text, about=_ABOUT[about])
