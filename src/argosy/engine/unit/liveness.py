"""Liveness probes: a ready agent is probed at an interval, and too many failures in a row end it.

Its reported health is passed on and never counts as a failure. Only silence does, a port that another
process has taken, and an error status or exit code.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from argosy.engine.unit.probe import PROBE_COMMAND_TIMEOUT_S, run_probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from argosy.agent.health import Status
    from argosy.engine.plan.process_plan import LivenessSchedule
    from argosy.engine.unit.probe import ProbeTarget
    from argosy.fleet.fleet_spec import Probe

# A probe that exceeds its longest time-out by this: the supervisor itself was stopped meanwhile.
_STALL_S = 1.0


async def watch_liveness(
    probe: Probe, target: ProbeTarget, schedule: LivenessSchedule, on_alive: Callable[[Status], None]
) -> str:
    """Return why the agent is no longer alive.

    on_alive(status): called after each successful probe.
    """
    failed = 0
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(schedule.interval_s)
        started_at = loop.time()
        result = await run_probe(probe, probe.port, target)
        if result.status is not None:
            failed = 0
            on_alive(result.status)
        elif loop.time() - started_at < PROBE_COMMAND_TIMEOUT_S + _STALL_S:
            failed += 1
            if failed >= schedule.failures:
                times = "once" if failed == 1 else f"{failed} times in a row"
                return f"failed its liveness probe {times}: {result.description}"
