"""Compares two sides in short alternating slices, so that other work of the machine affects both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from wire_cases.bench_processes import LoadClient, Server
from wire_cases.worker import WorkResult

# Each side runs once early and once late, so that drift cancels out.
_SLICE_ORDER: Final = ("left", "right", "right", "left")


class ComparisonSide(msgspec.Struct, frozen=True):
    """One side: the client, its load function, and the server."""

    caller: LoadClient
    load: str
    server: Server


class PairedRound(msgspec.Struct, frozen=True):
    """One round of both sides: requests per second, and processor microseconds per request at both ends."""

    left_rate: float
    right_rate: float
    left_us: float
    right_us: float


def compare(left: ComparisonSide, right: ComparisonSide, slice_s: float, turns: int = 1) -> PairedRound:
    """Run both sides, two slices each, with each slice divided into `turns`.

    Raises RefusedError: a client fails.
    """
    sides = {"left": left, "right": right}
    done: dict[str, list[tuple[WorkResult, float]]] = {"left": [], "right": []}
    for which in _SLICE_ORDER * turns:
        done[which].append(_slice(sides[which], slice_s / turns))
    return PairedRound(
        _rate(done["left"]), _rate(done["right"]), _cost_us(done["left"]), _cost_us(done["right"])
    )


def _slice(side: ComparisonSide, seconds: float) -> tuple[WorkResult, float]:
    before_s = side.server.processor_s()
    done = side.caller.run(side.load, seconds)
    return done, side.server.processor_s() - before_s + done.processor_s


def _rate(slices: Sequence[tuple[WorkResult, float]]) -> float:
    return sum(d.tally.calls for d, _ in slices) / sum(d.tally.seconds for d, _ in slices)


def _cost_us(slices: Sequence[tuple[WorkResult, float]]) -> float:
    return sum(s for _, s in slices) / sum(d.tally.calls for d, _ in slices) * 1e6
