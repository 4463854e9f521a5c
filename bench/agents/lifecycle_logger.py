"""An agent that logs a line at each start, so that a bench can count the starts."""

from __future__ import annotations

import os
from pathlib import Path

from argosy.agent import Agent, request


class LifecycleLogger(Agent):
    """Returns what it receives. LIFECYCLE_LOG_DIR: the folder of the logs, one file per agent."""

    async def start(self) -> None:
        """Log this start."""
        with open(Path(os.environ["LIFECYCLE_LOG_DIR"]) / os.environ["ARGOSY_AGENT"], "a") as lives:
            lives.write(f"{os.getpid()}\n")

    @request
    async def echo(self, text: str) -> str:
        """Return the text."""
        return text
