"""Polls the supervisor's status of all agents, for the current state and as metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import Callable
from typing import Final

from argosy.engine.control.control_client import connect
from argosy.engine.protocol.messages import AgentStatus, FleetStatus
from argosy.engine.protocol.state_machine import State
from argosy.engine.state.state_dir import StateDir
from argosy.fault import ArgosyError
from argosy.hub.store.records import MetricSample
from argosy.hub.store.store_writer import StoreFullError, StoreWriter

POLL_EVERY_S: Final = 2.0
STORE_EVERY: Final = (
    5  # every n-th status is stored; the supervisor samples memory less often than it is polled
)
PROCESS_METRICS: Final = ("process_state", "process_restarts", "process_rss_bytes", "process_pss_bytes")
STATE_NUMBER: Final = {state: float(number) for number, state in enumerate(State)}


class StatusPoller:
    """Polls this machine's supervisor.

    on_report: called with each status, None if no supervisor runs. is_here: whether a machine is this one;
    metrics of other machines' agents are stored by their hubs.
    """

    def __init__(
        self,
        writer: StoreWriter,
        state_dir: StateDir,
        on_report: Callable[[FleetStatus | None], object],
        is_here: Callable[[str | None], bool],
    ) -> None:
        self._writer = writer
        self._is_here = is_here
        self._state_dir = state_dir
        self._on_report = on_report

    async def run(self) -> None:
        """Poll until cancelled."""
        loop = asyncio.get_running_loop()
        for poll_count in range(1 << 62):
            report = await loop.run_in_executor(None, self._poll)
            self._on_report(report)
            if report and poll_count % STORE_EVERY == 0:
                samples = [
                    _process_sample(name, agent)
                    for name, agent in report.agents.items()
                    if self._is_here(agent.machine)
                ]
                with contextlib.suppress(StoreFullError):  # the next sample replaces it
                    self._writer.submit((), samples)
            await asyncio.sleep(POLL_EVERY_S)

    def _poll(self) -> FleetStatus | None:
        try:
            client = connect(self._state_dir, "hub")
            if client is None:
                return None
            with client:
                return client.fetch_status()
        except ArgosyError:
            return None


def _process_sample(name: str, agent: AgentStatus) -> MetricSample:
    values = array(
        "d",
        [
            STATE_NUMBER[agent.state],
            float(agent.restarts),
            float(agent.rss_bytes or 0),
            float(agent.pss_bytes or 0),
        ],
    )
    return MetricSample(name, PROCESS_METRICS, int(time.time() * 1000), values.tobytes())
