"""Export by OTLP over HTTP, in its JSON encoding (opentelemetry.io, protocol 1), of this machine's agents.

What is sent are last values and running totals, so that nothing has to wait here while a receiver is away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any, Final

from argosy.engine.state import READY_STATES
from argosy.hub.exposition import is_counter
from argosy.hub.standing import Standing

EVERY_S: Final = 10.0
_WITHIN_S: Final = 5.0
_CUMULATIVE: Final = 2
_READY: Final = frozenset(state.value for state in READY_STATES)

_log = logging.getLogger("argosy.hub")


class Export:
    """Sends what `agents` returns to one receiver.

    url: without `/v1/metrics`. failure: why the last was not taken, empty where it was.
    """

    def __init__(self, url: str, fleet: str, agents: Callable[[], Iterable[Standing]]) -> None:
        self._url = url.rstrip("/") + "/v1/metrics"
        self._fleet = fleet
        self._agents = agents
        self._began_ns = time.time_ns()
        self.failure = ""

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            body = json.dumps(request_of(self._agents(), self._fleet, self._began_ns)).encode()
            await asyncio.to_thread(self.send, body)

    def send(self, body: bytes) -> None:
        """Post a request; a failure, and its end, are told once."""
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self._url, body, headers, method="POST")
        failure = ""
        try:
            with urllib.request.urlopen(request, timeout=_WITHIN_S):
                pass
        except (OSError, ValueError) as error:
            failure = str(error) or type(error).__name__
        if bool(failure) != bool(self.failure):
            _log.warning("OTLP to %s: %s", self._url, failure or "taken again")
        self.failure = failure


def request_of(agents: Iterable[Standing], fleet: str, began_ns: int) -> dict[str, Any]:
    """Return an ExportMetricsServiceRequest: a resource for each agent."""
    return {
        "resourceMetrics": [
            {
                "resource": {
                    "attributes": _attributes(
                        {"service.name": each.agent, "service.namespace": fleet, "host.name": each.machine}
                    )
                },
                "scopeMetrics": [{"scope": {"name": "argosy.hub"}, "metrics": _metrics(each, began_ns)}],
            }
            for each in agents
        ]
    }


def _metrics(of: Standing, began_ns: int) -> list[dict[str, Any]]:
    now_ns = of.figures_ms * 1_000_000 or time.time_ns()
    up = {"timeUnixNano": str(time.time_ns()), "asInt": str(int(of.state in _READY))}
    metrics: list[dict[str, Any]] = [{"name": "argosy.agent.up", "gauge": {"dataPoints": [up]}}]
    for name, value in sorted(of.figures.items()):
        point: dict[str, Any] = {"timeUnixNano": str(now_ns), "asDouble": _double(value)}
        if is_counter(name):
            point["startTimeUnixNano"] = str(min(began_ns, now_ns))
            kind = {
                "sum": {"aggregationTemporality": _CUMULATIVE, "isMonotonic": True, "dataPoints": [point]}
            }
        else:
            kind = {"gauge": {"dataPoints": [point]}}
        metrics.append({"name": f"argosy.agent.{name}", **kind})
    return metrics


def _double(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _attributes(words: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in words.items()]
