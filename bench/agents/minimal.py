"""A minimal agent: after a kill, the engine's work is measured, not the agent's."""

from __future__ import annotations

from argosy.agent import Agent, request


class MinimalAgent(Agent):
    """Returns what it receives."""

    @request
    async def echo(self, text: str) -> str:
        """Return the text."""
        return text
