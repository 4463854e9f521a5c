"""Asks degraded agents again, since a machine is busy while a whole fleet starts and agents report that."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from realfleet.observation import AgentObservation
from realfleet.outcome import degraded_reasons

PAUSE_S: Final = 1.0


def recheck_degraded(
    looks: Mapping[str, AgentObservation],
    query_health: Callable[[Collection[str]], Mapping[str, dict[str, Any]]],
    until_s: float,
) -> dict[str, AgentObservation]:
    """Return the observations with the health of degraded agents after the start.

    An agent is asked until it gives the same reason twice, at most until `until_s` of the monotonic clock.
    query_health: return the current health of those agents that answer.
    """
    found = dict(looks)
    waiting = {name: word for name, look in looks.items() if (word := degraded_reasons(look))}
    while waiting and (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(PAUSE_S, left_s))
        for name, health in query_health(waiting.keys()).items():
            found[name] = msgspec.structs.replace(found[name], health=health)
            word = degraded_reasons(found[name])
            if word in ([], waiting[name]):
                del waiting[name]
            else:
                waiting[name] = word
    return found
