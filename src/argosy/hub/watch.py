"""The watch: what comes in of this machine is judged twice a second, and alerts are kept and delivered."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from argosy.fleet.units import duration_s
from argosy.hub.alerting import Alerting, Threshold
from argosy.hub.delivery import Delivery, by_command, by_webhook
from argosy.hub.keeper import Keeper
from argosy.hub.quiet import MOST_ASKED_S, MOST_S, Word, word_of
from argosy.hub.reading import Happened, Reading
from argosy.hub.record import Event, Figures
from argosy.hub.recovering import Recovering
from argosy.hub.storefile import is_full
from argosy.hub.tasks import Tasks
from argosy.hub.unkept import Unkept

if TYPE_CHECKING:
    from argosy.engine.diary import Entry
    from argosy.fleet.spec import AgentSpec, Alerts, Fleet
    from argosy.hub.acts import Acts
    from argosy.hub.exchange import Sight

EVERY_S: Final = 0.5
SETTLE_S: Final = 5.0  # without a supervisor's word nothing is judged for so long
_ACTIONS: Final = 5000  # that are looked at again when a hub begins
_STATES: Final = 50  # of each agent, likewise


class Watch:
    """One machine's alerts, where they go, and what is done about them.

    sights: of the other machines, as they are now. past: the engine's diary so far.
    """

    def __init__(
        self,
        keeper: Keeper,
        machine: str,
        fleet: Fleet,
        sights: Sequence[Sight],
        acts: Acts,
        past: Sequence[Entry] = (),
    ) -> None:
        self._keeper = keeper
        self._machine = machine
        self._sights = sights
        self._began_s = time.time()
        self._clock_s = self._began_s - time.monotonic()  # one that nobody can set back
        self.alerting = Alerting()
        self._unkept = Unkept(keeper)
        self._unkept.on_kept = self._wake
        self.recovering = Recovering(keeper, acts, self.alerting, self.now_s)
        self.deliveries: list[Delivery] = []
        self.open: dict[str, dict[str, Any]] = {}  # alerts that are raised, by key
        self.tasks = Tasks()
        self._delivering: list[asyncio.Task[None]] = []
        self._is_settled = self._is_running = False
        for entry in past:
            self.alerting.pace.hear(entry.kind, entry.agent, entry.state, self._clock_s + entry.mono_s)
        self._paced_s = past[-1].mono_s if past else 0.0
        self.take(fleet)

    def take(self, fleet: Fleet) -> None:
        """Go by this fleet from now on."""
        alerts = fleet.hub.alerts
        self._agents = tuple(fleet.agents)
        self._is_pace_told = alerts.slow_start
        self.alerting.take(
            needs_of_specs(fleet.agents),
            duration_s(alerts.after),
            duration_s(alerts.clear),
            _thresholds(alerts),
        )
        folder = str(Path(fleet.path).parent)
        self.recovering.take(fleet.hub.recovery, folder)
        self.deliveries = [
            Delivery(self._keeper, self._unkept, self._machine, name, send, {"fleet": fleet.name})
            for name, send in _receivers(alerts, folder)
        ]
        if self._is_running:
            self._deliver()

    def _deliver(self) -> None:
        for task in self._delivering:
            task.cancel()  # what was on its way is sent again, with the same key
        self._delivering = [
            self.tasks.begin(f"the delivery to {each.name}", each.run) for each in self.deliveries
        ]

    def _wake(self) -> None:
        for delivery in self.deliveries:
            delivery.wake()

    def now_s(self) -> float:
        """Return epoch seconds by a clock that goes on evenly."""
        return self._clock_s + time.monotonic()

    # -- what it is told ----------------------------------------------------------------------

    def settle(self) -> None:
        """Begin to judge: a supervisor has said how things are."""
        self._is_settled = True

    def hear(self, events: Iterable[Event], figures: Iterable[Figures]) -> None:
        """Take what this machine has to say."""
        for event in events:
            self._hear_event(event)
        for each in figures:
            self.alerting.hear_figures(
                each.agent, dict(zip(each.names, array("d", each.values), strict=True))
            )

    def _hear_event(self, event: Event) -> None:
        at_s = self._time_of(event)
        if event.kind == "state":
            state, reason = str(event.body.get("state", "")), str(event.body.get("text", ""))
            self.alerting.hear_state(event.subject, state, reason, at_s)
        if self._is_pace_told and float(event.body.get("mono") or 0.0) > self._paced_s:
            self.alerting.pace.hear(event.kind, event.subject, str(event.body.get("state", "")), at_s)
        if event.time_ms / 1000 >= self._began_s:  # the windows of the past are closed
            self._hear_work(event, at_s)

    def _hear_work(self, event: Event, at_s: float) -> None:
        """Open and close the windows of what the engine does for an order."""
        text = str(event.body.get("text", ""))
        if event.kind == "apply":
            self.alerting.open_quiet("apply", None, at_s + MOST_S)
        elif event.kind == "account":
            self.alerting.quiet.close("apply")
        elif event.kind == "restart":
            self.alerting.open_quiet(f"restart {text}", text.split(", "), at_s + MOST_S)
        elif event.kind == "restarted":
            self.alerting.quiet.close(f"restart {text}")
        elif event.kind == "supervisor":
            self.alerting.quiet.close_engine()

    def hear_action(self, machine: str, event: Event) -> None:
        """Take an action that a machine's hub has kept: what is to be quiet is so on every hub."""
        if word := word_of(event, "" if machine == self._machine else machine):
            self.hear_quiet(word)

    def hear_quiet(self, word: Word) -> bool:
        """Take a person's word on what is to be quiet; return whether it was."""
        self._note_skews()
        if not word.clock:  # from now on by a clock that goes on evenly
            ahead_s = time.time() - self.now_s()
            until_s = None if word.until_s is None else word.until_s - ahead_s
            word = msgspec.structs.replace(word, said_s=word.said_s - ahead_s, until_s=until_s)
        return self.alerting.hear_quiet(word)

    def _note_skews(self) -> None:
        ahead_s = time.time() - self.now_s()
        self.alerting.quiet.skews = {sight.machine: sight.skew_s + ahead_s for sight in self._sights}

    def _time_of(self, event: Event) -> float:
        mono_s = event.body.get("mono")
        if isinstance(mono_s, float) and mono_s <= time.monotonic():
            return self._clock_s + mono_s
        return event.time_ms / 1000

    # -- what it does -------------------------------------------------------------------------

    async def run(self) -> None:
        """Judge and deliver until cancelled."""
        self._is_running = True
        self._deliver()
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                if self._is_settled or self.now_s() > self._began_s + SETTLE_S:
                    self._look()
        finally:
            for task in self._delivering:
                task.cancel()
            self.recovering.cancel()

    async def remember(self) -> None:
        """Go on where an earlier life of this hub was: what was told is not told again. To be called before
        anything new is heard.
        """

        now_ms = int(time.time() * 1000)
        week_ms = int(MOST_ASKED_S * 1000)

        def look(reading: Reading) -> tuple[list[Event], list[Event], list[Happened]]:
            alerts = [each.event for each in reading.alerts(self._machine)]
            actions = reading.of_kinds(("action",), now_ms - week_ms, now_ms + week_ms, _ACTIONS)
            return self._told_of_agents(reading), alerts, actions[::-1]

        told, alerts, actions = await self._keeper.read(look)
        for action in actions:
            self.hear_action(action.origin.machine, action.event)
        for event in told:
            if event.kind == "state":
                self.alerting.hear_state(
                    event.subject, event.body.get("state", ""), event.body.get("text", "")
                )
            else:
                self.recovering.remember(event)
        for event in alerts:
            key = str(event.body["key"])
            if event.body["kind"] == "raised":
                self.open[key] = {name: event.body[name] for name in event.body if name not in ("id", "had")}
            else:
                self.open.pop(key, None)
        for key, body in self.open.items():
            self.alerting.restore(key, body["since_s"], body.get("dependents", ()))

    def _told_of_agents(self, reading: Reading) -> list[Event]:
        """Return this machine's last states of each agent, and all recoveries that count for a budget, oldest
        first; whatever else has been told since, as log lines are by the thousand, pushes none of them out.
        """
        since_ms = int((time.time() - self.recovering.within_s()) * 1000)
        found = reading.of_kinds(("recovery",), since_ms, 1 << 62)
        for agent in self._agents:
            found += reading.of_kinds(("state",), 0, 1 << 62, _STATES, agent)
        found.sort(key=lambda each: (each.event.time_ms, each.origin.began_ms, each.number))
        return [each.event for each in found if each.origin.machine == self._machine]

    def _look(self) -> None:
        for sight in self._sights:
            self.alerting.hear_sight(sight.machine, is_blind=sight.is_blind, reason=sight.reason)
        self.alerting.hear_store(self._machine, self._trouble_of_store())
        self._note_skews()
        now_s = self.now_s()
        notices = self.alerting.look(now_s)
        for notice in notices:
            if notice.kind == "raised":
                self.open[notice.key] = notice.body()
            else:
                self.open.pop(notice.key, None)
        self._unkept.add(
            [Event(int(each.at_s * 1000), "alert", each.subject, each.body()) for each in notices]
        )
        self.recovering.look(self.open.values(), now_s)
        for delivery in self.deliveries:
            delivery.look()

    def _trouble_of_store(self) -> str:
        failure = self._keeper.failure
        if not failure:
            return ""
        do = "make room on" if "full" in failure or is_full(self._keeper.folder) else "see to"
        return (
            f"the store of {self._machine or 'this machine'} takes nothing: {failure}; {do} the disk of "
            f"{self._keeper.folder} (what happens until then is told, and kept once there is room)"
        )

    def raised(self) -> list[dict[str, Any]]:
        """Return the alerts that are open, each with who hangs on it now, and who needs it and runs on."""
        return [self._as_it_is(key, body) for key, body in self.open.items()]

    def _as_it_is(self, key: str, body: Mapping[str, Any]) -> dict[str, Any]:
        hanging = {*body.get("dependents", ()), *self.alerting.hanging_on(key)}
        needing: set[str] = set()
        if key.startswith("agent:"):
            needing = {*self.alerting.causes.with_dependents([body["subject"]])} - hanging - {body["subject"]}
        return {**body, "dependents": sorted(hanging), "needed_by": sorted(needing)}


def needs_of_specs(specs: Mapping[str, AgentSpec]) -> dict[str, list[str]]:
    """Return whom each agent needs."""
    return {name: [need.agent for need in spec.needs] for name, spec in specs.items()}


def _thresholds(alerts: Alerts) -> list[Threshold]:
    return [
        Threshold(
            each.figure,
            each.above,
            each.below,
            duration_s(each.lasting),
            None if each.clear is None else duration_s(each.clear),
            frozenset(each.agents) if each.agents else None,
        )
        for each in alerts.thresholds
    ]


def _receivers(alerts: Alerts, folder: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if alerts.webhook:
        found.append(("the webhook", by_webhook(alerts.webhook)))
    if alerts.command:
        found.append(("the command", by_command(alerts.command, folder)))
    return found
