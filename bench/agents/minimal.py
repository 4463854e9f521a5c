"""An agent that does nothing but be one: what follows a kill is then the engine's work, not the agent's."""

from __future__ import annotations

from argosy.agent import Agent, request


class MinimalAgent(Agent):
    """Says back what it is told."""

    @request
    async def echo(self, text: str) -> str:
        """Return the text."""
        return text
