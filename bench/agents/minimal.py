"""An agent that does nothing but be one: what follows a kill is then the engine's work, not the agent's."""

from __future__ import annotations

from argosy.agent import Agent, request


class Plain(Agent):
    """Says back what it is told."""

    @request
    async def say(self, text: str) -> str:
        """Return the text."""
        return text
