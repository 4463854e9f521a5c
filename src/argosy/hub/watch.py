"""The watch: what comes in of this machine is judged each second, and alerts are kept and delivered."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from argosy.fleet.units import duration_s
from argosy.hub.alerting import Alerting, Threshold
from argosy.hub.delivery import Delivery, by_command, by_webhook
from argosy.hub.keeper import FullError, Keeper
from argosy.hub.record import Event, Figures

if TYPE_CHECKING:
    from argosy.fleet.spec import Alerts, Fleet
    from argosy.hub.exchange import Sight

EVERY_S: Final = 0.5
_OPENING: Final = frozenset(("apply", "restart"))
_CLOSING: Final = frozenset(("account", "restarted"))


class Watch:
    """One machine's alerts, and where they go. sights: of the other machines, as they are now."""

    def __init__(self, keeper: Keeper, machine: str, fleet: Fleet, sights: Sequence[Sight]) -> None:
        self._keeper = keeper
        self._sights = sights
        self._began_ms = int(time.time() * 1000)
        alerts = fleet.hub.alerts
        needs = {name: [need.agent for need in spec.needs] for name, spec in fleet.agents.items()}
        self.alerting = Alerting(
            needs, duration_s(alerts.after), duration_s(alerts.clear), _thresholds(alerts)
        )
        self.deliveries = [
            Delivery(keeper, machine, name, send, {"fleet": fleet.name}) for name, send in _receivers(alerts)
        ]
        self.open: dict[str, dict[str, Any]] = {}  # alerts that are raised, by key

    def hear(self, events: Iterable[Event], figures: Iterable[Figures]) -> None:
        """Take what this machine has to say."""
        for event in events:
            if event.kind == "state":
                state, reason = str(event.body.get("state", "")), str(event.body.get("text", ""))
                self.alerting.hear_state(event.subject, state, reason)
            elif event.time_ms < self._began_ms:
                continue  # the windows of the past are closed
            elif event.kind in _OPENING:
                self.alerting.open_quiet()
            elif event.kind in _CLOSING:
                self.alerting.close_quiet()
            elif event.kind == "supervisor":
                self.alerting.close_quiet(all_=True)
        for each in figures:
            self.alerting.hear_figures(
                each.agent, dict(zip(each.names, array("d", each.values), strict=True))
            )

    async def run(self) -> None:
        """Judge and deliver until cancelled."""
        delivering = [asyncio.ensure_future(each.run()) for each in self.deliveries]
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                await self._look()
        finally:
            for task in delivering:
                task.cancel()

    async def _look(self) -> None:
        for sight in self._sights:
            self.alerting.hear_sight(sight.machine, is_blind=sight.is_blind, reason=sight.reason)
        notices = self.alerting.look(time.time())
        if not notices:
            return
        for notice in notices:
            if notice.kind == "raised":
                self.open[notice.key] = notice.body()
            else:
                self.open.pop(notice.key, None)
        events = [Event(int(each.at_s * 1000), "alert", each.subject, each.body()) for each in notices]
        try:
            await self._keeper.keep(events)
        except FullError:
            return  # the page shows what is open; nothing can be delivered that is not kept
        for delivery in self.deliveries:
            delivery.wake()


def _thresholds(alerts: Alerts) -> list[Threshold]:
    return [
        Threshold(
            each.figure,
            each.above,
            each.below,
            duration_s(each.lasting),
            frozenset(each.agents) if each.agents else None,
        )
        for each in alerts.thresholds
    ]


def _receivers(alerts: Alerts) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if alerts.webhook:
        found.append(("the webhook", by_webhook(alerts.webhook)))
    if alerts.command:
        found.append(("the command", by_command(alerts.command)))
    return found
