"""Measures a hub's cost with 20,000 new metric names per second, and with 100,000 constant names.

To run it alone, in the folder `bench`: `python -m hub_cases.metric_cardinality [SECONDS]`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

from hub_cases.hub_fleet import HubFleet, running_hub_fleet
from testbed.result import Value, value_of
from testbed.runner import log_progress

LABELS: Final = tuple(
    f"hub.{case}/{what}"
    for case in ("flood", "series")
    for what in ("resident", "metrics", "metrics_time", "healthz_p99")
)
NEW_NAMES_PER_S: Final = 20_000
AGENTS: Final = 20
STEADY_NAMES: Final = 5000
REQUESTS: Final = 5
SECONDS: Final = 30.0

METHOD: Final = [
    f"hub.flood: one agent reports {NEW_NAMES_PER_S} new names a second, for {SECONDS:.0f} s; hub.series:",
    f"  {AGENTS} agents of {STEADY_NAMES} names each, allowed by `most_figures`; then /metrics is requested",
    f"  {REQUESTS} times; resident: of the hub's process after that; healthz_p99: of /healthz meanwhile",
]
_AGENT: Final = """
from argosy.agent import Agent, Health

class Flood(Agent):
    beat = 0

    def health(self) -> Health:
        Flood.beat += {step}
        return Health("ok", "", {{f"user_{{Flood.beat}}_{{n}}": float(n) for n in range({names})}})
"""


def measure_cardinality(seconds: float = SECONDS) -> dict[str, Value]:
    """Return the values of both cases."""
    with tempfile.TemporaryDirectory(prefix="argosy-b-", dir="/tmp") as temporary:
        values = _case(_fleet(Path(temporary, "flood"), 1, NEW_NAMES_PER_S, {}, step=1), "flood", seconds)
        steady = _fleet(
            Path(temporary, "series"), AGENTS, STEADY_NAMES, {"most_figures": 2 * STEADY_NAMES}, step=0
        )
        return values | _case(steady, "series", seconds / 3)


def _case(path: Path, name: str, seconds: float) -> dict[str, Value]:
    log_progress(f"hub.{name}")
    with running_hub_fleet(path) as fleet:
        time.sleep(seconds)
        sizes, took, waits = _measure_requests(fleet)
        status = Path(f"/proc/{fleet.hub_pid()}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    ordered = sorted(waits)
    p99 = 1000 * ordered[int(0.99 * (len(ordered) - 1))]
    log_progress(
        f"{resident:.0f} MiB, {sizes[-1]:.1f} MB in {statistics.median(took):.2f} s, {len(waits)} /healthz"
    )
    return {
        f"hub.{name}/resident": value_of([resident], "MiB"),
        f"hub.{name}/metrics": value_of(sizes, "MB"),
        f"hub.{name}/metrics_time": value_of(took, "s"),
        f"hub.{name}/healthz_p99": value_of([p99], "ms", goal=100.0),
    }


def _measure_requests(fleet: HubFleet) -> tuple[list[float], list[float], list[float]]:
    """Return sizes (MB) and times of `/metrics`, and times of `/healthz` requested meanwhile."""
    waits: list[float] = []
    end = threading.Event()

    def poll_healthz() -> None:
        while not end.is_set():
            waits.append(_timed_get(f"{fleet.url}/healthz")[1])

    poller = threading.Thread(target=poll_healthz)
    poller.start()
    found = [_timed_get(f"{fleet.url}/metrics") for _ in range(REQUESTS)]
    end.set()
    poller.join()
    return [size / 1e6 for size, _ in found], [took for _, took in found], waits


def _timed_get(url: str) -> tuple[int, float]:
    began_s = time.monotonic()
    with urllib.request.urlopen(url, timeout=60) as answer:
        size = len(answer.read())
    return size, time.monotonic() - began_s


def _fleet(folder: Path, agents: int, names: int, hub: dict[str, Any], *, step: int) -> Path:
    folder.mkdir()
    (folder / "flood.py").write_text(_AGENT.format(names=names, step=step))
    named = {f"Flood{number}": {"run": "flood:Flood"} for number in range(agents)}
    path = folder / "fleet.yaml"
    path.write_text(json.dumps({"fleet": "flood", "hub": hub, "agents": named}))
    return path


if __name__ == "__main__":
    for label, value in measure_cardinality(float(sys.argv[1]) if sys.argv[1:] else SECONDS).items():
        print(f"{label}: {value.value} {value.unit}")
