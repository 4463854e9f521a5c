"""Exports the metrics of this machine's agents by OTLP over HTTP (opentelemetry.io, protocol 1).

Uses protobuf if its messages are installed (`argosy[otlp]`), which every receiver accepts and which is a
third of the size, else JSON. It sends last values and cumulative totals, so nothing is queued while a
receiver is unavailable.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import math
import time
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any, Final

from argosy.hub.http.exposition import is_counter, is_up
from argosy.hub.ingest.current_state import AgentSnapshot

EXPORT_EVERY_S: Final = 10.0
_TIMEOUT_S: Final = 5.0
_CUMULATIVE: Final = 2

_EncodeRequest = Callable[[dict[str, Any]], bytes]

_log = logging.getLogger("argosy.hub")


def encode_json(request: dict[str, Any]) -> bytes:
    """Return a request as JSON."""
    return json.dumps(request).encode()


def protobuf_encoder() -> _EncodeRequest | None:
    """Return an encoder with the official protobuf messages; None if they are not installed."""
    try:
        from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped] # noqa: PLC0415
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as messages  # noqa: PLC0415
    except ImportError:
        return None

    def encode(request: dict[str, Any]) -> bytes:
        encoded: bytes = ParseDict(request, messages.ExportMetricsServiceRequest()).SerializeToString()
        return encoded

    return encode


class OtlpExporter:
    """Sends the metrics of agents to one receiver.

    url: without `/v1/metrics`. agents: returns the agents to export. protobuf: the encoder, None for JSON.
    failure: why the last request failed, empty if it succeeded.
    """

    def __init__(
        self,
        url: str,
        fleet: str,
        agents: Callable[[], Iterable[AgentSnapshot]],
        protobuf: _EncodeRequest | None = None,
    ) -> None:
        self._url = url.rstrip("/") + "/v1/metrics"
        self._fleet = fleet
        self._agents = agents
        self._encode = protobuf or encode_json
        self._kind = "application/x-protobuf" if protobuf else "application/json"
        self._started_ns = time.time_ns()
        self.failure = ""

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(EXPORT_EVERY_S)
            await asyncio.to_thread(self.send, export_request(self._agents(), self._fleet, self._started_ns))

    def send(self, document: dict[str, Any]) -> None:
        """Post a request; a failure and its end are logged once."""
        headers = {"content-type": self._kind}
        failure = ""
        try:
            request = urllib.request.Request(self._url, self._encode(document), headers, method="POST")
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
                pass
        except (OSError, ValueError, http.client.HTTPException) as error:
            failure = str(error) or type(error).__name__
        if bool(failure) != bool(self.failure):
            _log.warning("OTLP to %s: %s", self._url, failure or "accepted again")
        self.failure = failure


def export_request(agents: Iterable[AgentSnapshot], fleet: str, started_ns: int) -> dict[str, Any]:
    """Return an ExportMetricsServiceRequest: a resource for each agent."""
    return {
        "resourceMetrics": [
            {
                "resource": {
                    "attributes": [
                        {"key": key, "value": {"stringValue": value}}
                        for key, value in (
                            ("service.name", each.agent),
                            ("service.namespace", fleet),
                            ("host.name", each.machine),
                        )
                    ]
                },
                "scopeMetrics": [{"scope": {"name": "argosy.hub"}, "metrics": _metrics(each, started_ns)}],
            }
            for each in agents
        ]
    }


def _metrics(snapshot: AgentSnapshot, started_ns: int) -> list[dict[str, Any]]:
    now_ns = snapshot.metrics_ms * 1_000_000 or time.time_ns()
    up = {"timeUnixNano": str(time.time_ns()), "asInt": str(int(is_up(snapshot)))}
    stale = snapshot.stale_metrics(time.monotonic())
    metrics: list[dict[str, Any]] = [{"name": "argosy.agent.up", "gauge": {"dataPoints": [up]}}]
    for name, value in sorted(snapshot.metrics.items()):
        if name in stale:
            continue
        point: dict[str, Any] = {"timeUnixNano": str(now_ns), "asDouble": _double(value)}
        if is_counter(name):
            point["startTimeUnixNano"] = str(min(started_ns, now_ns))
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
