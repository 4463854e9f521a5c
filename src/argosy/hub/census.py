"""The census: what the supervisor knows of each agent, scripts too, as figures and as what is shown now."""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import Callable
from typing import Final

from argosy.engine.client import connect
from argosy.engine.folder import Folder
from argosy.engine.messages import AgentStatus, Report
from argosy.engine.state import State
from argosy.fault import ArgosyError
from argosy.hub.keeper import FullError, Keeper
from argosy.hub.record import Figures

EVERY_S: Final = 2.0
KEPT_EVERY: Final = 5  # one of so many is kept as figures: memory is sampled, not measured at each question
NAMES: Final = ("process_state", "process_restarts", "process_rss_bytes", "process_pss_bytes")
STATE_NUMBER: Final = {state: float(number) for number, state in enumerate(State)}


class Census:
    """Asks this machine's supervisor. show: gets each report, or None when nobody supervises.

    is_here: whether a machine is this one; agents of others are measured by theirs.
    """

    def __init__(
        self,
        keeper: Keeper,
        folder: Folder,
        show: Callable[[Report | None], object],
        is_here: Callable[[str | None], bool],
    ) -> None:
        self._keeper = keeper
        self._is_here = is_here
        self._folder = folder
        self._show = show

    async def run(self) -> None:
        """Ask until cancelled."""
        loop = asyncio.get_running_loop()
        for number in range(1 << 62):
            report = await loop.run_in_executor(None, self._ask)
            self._show(report)
            if report and number % KEPT_EVERY == 0:
                figures = [
                    _figures(name, agent)
                    for name, agent in report.agents.items()
                    if self._is_here(agent.machine)
                ]
                with contextlib.suppress(FullError):  # a sample that is measured again
                    self._keeper.hand_in((), figures)
            await asyncio.sleep(EVERY_S)

    def _ask(self) -> Report | None:
        try:
            client = connect(self._folder, "hub")
            if client is None:
                return None
            with client:
                return client.report()
        except ArgosyError:
            return None


def _figures(name: str, agent: AgentStatus) -> Figures:
    values = array(
        "d",
        [
            STATE_NUMBER[agent.state],
            float(agent.restarts),
            float(agent.rss_bytes or 0),
            float(agent.pss_bytes or 0),
        ],
    )
    return Figures(name, NAMES, int(time.time() * 1000), values.tobytes())
