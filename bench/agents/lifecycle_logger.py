"""An agent that leaves a line for each of its lives, so that others can count them."""

from __future__ import annotations

import os
from pathlib import Path

from argosy.agent import Agent, request


class LifecycleLogger(Agent):
    """Says back what it is told. LIFECYCLE_LOG_DIR: the folder of the lines, a file an agent."""

    async def start(self) -> None:
        """Note this life."""
        with open(Path(os.environ["LIFECYCLE_LOG_DIR"]) / os.environ["ARGOSY_AGENT"], "a") as lives:
            lives.write(f"{os.getpid()}\n")

    @request
    async def echo(self, text: str) -> str:
        """Return the text."""
        return text
