"""An agent that records the errors and events of legacy agents."""

from __future__ import annotations

from typing import Any

from argosy.agent import Agent, event, request, run


class RecordsLegacyEvents(Agent):
    def __init__(self) -> None:
        self.errors: list[Any] = []
        self.events: list[Any] = []

    @event("errors")
    async def on_error(self, report: dict[str, Any]) -> None:
        self.errors.append(report)

    @event("voice.changed")
    async def on_voice(self, voice: dict[str, Any]) -> None:
        self.events.append(voice)

    @request
    async def recorded(self) -> list[Any]:
        return [self.errors[0], self.events[0]] if self.errors and self.events else []


if __name__ == "__main__":
    run(RecordsLegacyEvents)
