"""Who calls itself degraded is asked again: while a whole fleet starts, a machine is busy and says so."""

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
    """Return the looks, with the health that degraded agents tell when the start is over.

    An agent that gives the same reason twice means it; one whose reason moves is asked until `until_s`
    (of the monotonic clock). ask: returns the health that agents tell now, of those that answer.
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
