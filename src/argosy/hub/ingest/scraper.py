"""Scrapes the Prometheus metrics that a script serves, and stores them as metrics of its agent."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import time
import urllib.request
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from prometheus_client import parser as plain
from prometheus_client.openmetrics import parser as openmetrics

from argosy.fleet.quantities import parse_duration_s
from argosy.hub.store.records import HubEvent, MetricSample
from argosy.hub.store.store_writer import StoreFullError, StoreWriter

if TYPE_CHECKING:
    from argosy.fleet.fleet_spec import Scrape

UP_METRIC: Final = "scrape_up"  # 1 if the last scrape succeeded, else 0
LEFT_OUT_METRIC: Final = "scrape_samples_dropped"  # samples above `max_samples`
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 16 << 20
_ACCEPT: Final = "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5"

_log = logging.getLogger("argosy.hub")


class Scraper:
    """Scrapes one endpoint at an interval. Its success is a metric, and each change of it an event."""

    def __init__(self, writer: StoreWriter, spec: Scrape) -> None:
        self._writer = writer
        self._spec = spec
        self._last_error: str | None = None  # of the last scrape, empty if it succeeded

    async def run(self) -> None:
        """Scrape until cancelled."""
        every_s = parse_duration_s(self._spec.every)
        while True:
            started_s = time.monotonic()
            events, samples = await asyncio.to_thread(self.scrape_once)
            with contextlib.suppress(StoreFullError):  # the next scrape replaces these samples
                self._writer.submit(events, samples)
            await asyncio.sleep(max(0.0, started_s + every_s - time.monotonic()))

    def scrape_once(self) -> tuple[list[HubEvent], list[MetricSample]]:
        """Return the samples of one scrape, and an event if its success changed."""
        now_ms = int(time.time() * 1000)
        try:
            found, reason = parse_samples(*_fetch(self._spec.url)), ""
        except (OSError, ValueError, http.client.HTTPException) as error:
            found, reason = {}, str(error) or type(error).__name__
        kept = dict(list(found.items())[: self._spec.max_samples])
        kept |= {
            UP_METRIC: float(not reason),
            LEFT_OUT_METRIC: float(max(0, len(found) - self._spec.max_samples)),
        }
        events = []
        if reason != self._last_error and (reason or self._last_error):
            _log.warning("`%s` of `%s`: %s", self._spec.url, self._spec.agent, reason or "scraped again")
            body = {"url": self._spec.url, "reason": reason}
            events = [
                HubEvent(now_ms, "scrape-failed" if reason else "scrape-recovered", self._spec.agent, body)
            ]
        self._last_error = reason
        values = array("d", kept.values()).tobytes()
        return events, [MetricSample(self._spec.agent, tuple(kept), now_ms, values)]


def parse_samples(text: str, is_openmetrics: bool) -> dict[str, float]:
    """Return the samples of an exposition by name, with the labels as Prometheus writes them, sorted.

    is_openmetrics: else the text is in Prometheus's own format. Raises ValueError: it cannot be parsed.
    """
    try:
        families = (openmetrics if is_openmetrics else plain).text_string_to_metric_families(text)
        samples: Iterable[tuple[str, float]] = (
            (sample.name + _labels(sample.labels), float(sample.value))
            for family in families
            for sample in family.samples
        )
        return dict(sorted(samples))
    except ValueError:
        raise
    except Exception as error:  # the parser raises any exception on invalid text
        raise ValueError(f"the metrics cannot be parsed: {type(error).__name__}: {error}") from error


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _fetch(url: str) -> tuple[str, bool]:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"`{url}` is not an http address")
    request = urllib.request.Request(url, headers={"accept": _ACCEPT})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        body = response.read(_MAX_BYTES + 1)
        if len(body) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES >> 20} MiB of metrics")
        return body.decode(), response.headers.get_content_type() == "application/openmetrics-text"
