"""The rows of bench/wire.py: both sides, the goal, and the processes they need."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from typing import Final

import msgspec

from wire_cases.bench_processes import BenchProcesses, Server
from wire_cases.by_argosy import AGENT
from wire_cases.competitors import COMPETITORS
from wire_cases.paired_comparison import ComparisonSide

ASYNCIO_SHARE: Final = 0.85
GOAL_ARRAYS: Final = 3.5
GOAL_METRICS: Final = 1.02
# Comparisons per round, and turns per slice: the difference is far smaller than the drift of a core in a
# second.
METRICS_ROUNDS: Final = 4
METRICS_TURNS: Final = 8

# argosy's load, its name in labels, the raw load, its name in labels, and the goal on uvloop.
_CORE: Final = (
    ("one_sync", "one_sync", "req", "raw_req_rep", 0.75),
    ("one_async", "one_async", "req", "raw_req_rep", 0.75),
    ("threads", "32_threads", "dealer", "raw_dealer_router", 0.5),
    ("typed", "32_async_typed", "dealer", "raw_dealer_router", 1.0),
    ("frames", "32_async_frames", "dealer", "raw_dealer_router", 1.4),
    ("frames_128", "128_async_frames", "dealer", "raw_dealer_router", 2.4),
)
_ON_A_LOOP: Final = ("one_async", "typed", "frames", "frames_128")


class Row(msgspec.Struct, frozen=True):
    """One pair of sides, measured in each round.

    counts: "rate", or "cost" for the processor time of both processes per request.
    rounds: comparisons per round of the bench. turns: parts of a slice.
    """

    label: str
    left: ComparisonSide
    right: ComparisonSide
    goal: float
    counts: str = "rate"
    rounds: int = 1
    turns: int = 1


class ComparisonPlan:
    """The rows of one run and the skipped ones; starts each process once."""

    def __init__(self, processes: BenchProcesses, *, quick: bool) -> None:
        self.rows: list[Row] = []
        self.skipped: dict[str, str] = {}
        self.echo = processes.agent("Echo", "wire_cases.echo_agent:Echo")
        self.caller = processes.caller("by_argosy")
        self._processes = processes
        self._quick = quick
        self._raw_server = processes.server("by_raw")
        self._raw_caller = processes.caller("by_raw")
        self._add_core()
        self._add_metrics()
        self._add_arrays()
        self._add_asyncio()
        self._add_competitors()

    def _raw(self, load: str) -> ComparisonSide:
        return ComparisonSide(self._raw_caller, load, self._raw_server)

    def _argosy(self, load: str) -> ComparisonSide:
        return ComparisonSide(self.caller, load, self.echo)

    def _add_core(self) -> None:
        for load, name, raw, raw_name, goal in _CORE:
            self.rows.append(Row(f"wire.{name}/{raw_name}", self._argosy(load), self._raw(raw), goal))

    def _add_metrics(self) -> None:
        """Add one agent compared with itself, with and without its automatic metrics by turns."""
        command = [sys.executable, "-m", "wire_cases.without_metrics"]
        self._processes.register_agent("MetricsSwitch")
        agent = self._processes.launch("MetricsSwitch", command, {"ARGOSY_AGENT": "MetricsSwitch"})
        agent.wait_until_ready()
        caller = self._processes.caller("by_argosy", **{AGENT: "MetricsSwitch"})
        left, right = (
            ComparisonSide(caller, f"typed_{which}_metrics", agent) for which in ("with", "without")
        )
        label = "wire.cpu_with_figures/cpu_without_figures"
        self.rows.append(Row(label, left, right, GOAL_METRICS, "cost", METRICS_ROUNDS, METRICS_TURNS))

    def _add_arrays(self) -> None:
        """Add 1 MiB in both directions, against copying and against libraries that send bytes."""
        others = {"copying": "by_copying"} | {r.name: r.module for r in COMPETITORS if r.carries_arrays}
        missing = {r.name: r.unavailable_reason() for r in COMPETITORS if r.carries_arrays}
        if not importlib.util.find_spec("numpy"):
            missing = dict.fromkeys(others, "not installed: numpy")
        for name, module in others.items():
            label = f"wire.array_1MiB/{name}_1MiB"
            if reason := missing.get(name, "") or self._skip_reason(name != "copying"):
                self.skipped[label] = reason
            else:
                self._add_array(label, module)

    def _add_array(self, label: str, module: str) -> None:
        left = ComparisonSide(self._processes.caller("by_argosy_arrays"), "arrays", self.echo)
        server = self._processes.server(module)
        self.rows.append(
            Row(label, left, ComparisonSide(self._processes.caller(module), "arrays", server), GOAL_ARRAYS)
        )

    def _add_asyncio(self) -> None:
        rows = [row for row in _CORE if row[0] in _ON_A_LOOP]
        if reason := self._skip_reason():
            self.skipped |= {f"wire.asyncio_{name}/{raw}": reason for _, name, _, raw, _ in rows}
            return
        server = self._processes.agent("OnAsyncio", "wire_cases.echo_agent:Echo", ARGOSY_LOOP="asyncio")
        caller = self._processes.caller("by_argosy", ARGOSY_LOOP="asyncio", **{AGENT: "OnAsyncio"})
        for load, name, raw, raw_name, goal in rows:
            label = f"wire.asyncio_{name}/{raw_name}"
            scaled = round(goal * ASYNCIO_SHARE, 4)
            self.rows.append(Row(label, ComparisonSide(caller, load, server), self._raw(raw), scaled))

    def _add_competitors(self) -> None:
        for competitor in COMPETITORS:
            label = f"wire.32_async_typed/{competitor.name}"
            if reason := competitor.unavailable_reason() or self._skip_reason():
                self.skipped[label] = reason
                continue
            server = self._server_of(competitor.module)
            right = ComparisonSide(self._processes.caller(competitor.module), competitor.load, server)
            self.rows.append(Row(label, self._argosy("typed"), right, competitor.goal))

    def _server_of(self, module: str) -> Server:
        """Return the server of a module; start it if no row has."""
        started: Iterator[Server] = (r.right.server for r in self.rows if r.right.server.name == module)
        return next(started, None) or self._processes.server(module)

    def _skip_reason(self, is_extra: bool = True) -> str:
        return "--quick" if self._quick and is_extra else ""
