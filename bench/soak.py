"""Checks that no request is lost while agents are killed and frozen, and that no process grows.

`python bench/soak.py [--json] [--quick] [--seconds N]`; needs `argosy[bench]`. See bench/README.md.
"""

from __future__ import annotations

import statistics
import sys

from testbed.host_info import this_machine
from testbed.result import Ratio, Result, Value, count_of, ratio_of, value_of
from testbed.runner import Options, log_progress, run_bench
from wire_cases.bench_processes import bench_processes
from wire_cases.process_stats import StatsTrend, trend
from wire_cases.soak_run import SoakResult, run_soak

FULL_S = 300.0
QUICK_S = 15.0
GOAL_MEMORY = 1.05
GOAL_DESCRIPTORS = 1.0

METHOD = [
    "three agents, two of them killed (SIGKILL) and all frozen (SIGSTOP) at random, started again at once",
    "callers: 48 tasks on one loop, 6 threads, 6 bare REQ sockets with JSON; deadlines of 0.3 to 2.5 s",
    "handlers: short, as a task, in a thread, in turn at random; each reply compared with its request",
    "executed: 24 bytes appended to a file by the handler's first line",
    "sent = answered + named errors; lost: neither, 10 s after the end; unlogged: answered, not in a log",
    "late: executed 0.1 s or more after the deadline; REQ sockets send no deadline and are left out",
    "midway: frozen between the check and the handler's first line: at most one per pause, the rest is late",
    "denied: executed although its caller got an error that says it was not",
    "at the end, at first: the last and the first fifth of the run, without its first tenth",
    "memory: the median resident size; descriptors: the maximum, since lanes to dead agents are closed",
]


def measure(options: Options) -> Result:
    """Run the soak and return its counts."""
    machine = this_machine()
    seconds = options.seconds or (QUICK_S if options.quick else FULL_S)
    with bench_processes() as processes:
        found = run_soak(processes, seconds)
    log_progress(
        f"{found.account.sent} requests, {found.kills} kills, {found.freezes} freezes in {seconds:g} s"
    )
    return Result(
        name="soak", machine=machine, ratios=ratios(found), values=values(found), skipped={}, method=METHOD
    )


def ratios(found: SoakResult) -> dict[str, Ratio]:
    """Return the growth of each process that ran all the time."""
    result: dict[str, Ratio] = {}
    for name, looks in found.samples.items():
        memory = trend(looks, lambda each: each.resident_bytes, statistics.median)
        descriptors = trend(looks, lambda each: each.descriptors, max)
        result[f"soak.{name}.memory_at_the_end/memory_at_first"] = _growth(memory, GOAL_MEMORY, "bytes")
        label = f"soak.{name}.descriptors_at_the_end/descriptors_at_first"
        result[label] = _growth(descriptors, GOAL_DESCRIPTORS, "descriptors")
    return result


def _growth(found: StatsTrend, goal: float, unit: str) -> Ratio:
    return ratio_of([found.last], [found.first], goal=goal, unit=unit)


def values(found: SoakResult) -> dict[str, Value]:
    """Return the counts of the soak."""
    account = found.account
    lines = {
        "sent": count_of(account.sent, "requests"),
        "lost": count_of(account.lost, "requests", goal=0),
        "wrong_answers": count_of(account.wrong, "requests", goal=0),
        "answered_and_unlogged": count_of(account.answered_not_logged, "requests", goal=0),
        "executed": count_of(account.executed, "requests"),
        "executed_twice": count_of(account.executed_twice, "requests", goal=0),
        "executed_late": count_of(account.late, "requests", goal=0),
        "executed_late_after_a_pause_midway": count_of(
            account.executed_after_pause, "requests", goal=found.freezes
        ),
        "executed_though_denied": count_of(account.executed_despite_error, "requests", goal=0),
        "kills": count_of(found.kills, "kills"),
        "freezes": count_of(found.freezes, "freezes"),
        "latest_end_after_deadline_ms": value_of([found.late_ms], "ms"),
    }
    ended = {f"ended.{name}": count_of(count, "requests") for name, count in account.outcomes.items()}
    return {f"soak.{name}": value for name, value in {**lines, **ended}.items()}


if __name__ == "__main__":
    sys.exit(run_bench("soak", (__doc__ or "").partition("\n")[0], measure, is_timed=True))
