"""Measures requests through argosy against bare sockets and other libraries, and when a peer dies.

`python bench/wire.py [--json] [--quick]`; needs `argosy[bench]`. The method is in bench/README.md.
"""

from __future__ import annotations

import signal
import sys
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from testbed.bytecode_warmup import compile_folder, compile_packages
from testbed.host_info import this_machine
from testbed.result import Ratio, Result, Value, count_of, p99_of, ratio_of, value_of
from testbed.runner import QUICK_S, Options, interleave, log_progress, run_bench
from wire_cases.bench_processes import BENCH, BenchProcesses, bench_processes
from wire_cases.execution_log import Reconciliation
from wire_cases.paired_comparison import PairedRound, compare
from wire_cases.peer_failure import FailureLatency, measure_failure
from wire_cases.soak_run import run_soak
from wire_cases.thread_counts import ThreadCounts, count_threads
from wire_cases.wire_rows import ComparisonPlan, Row

PACKAGES = ("argosy", "msgspec", "zmq", "numpy", "Pyro5", "rpyc", "plumbum", "grpc")
QUICK_SLICE_S = 0.3
FULL_SLICE_S = 0.4
QUICK_KILLS = 2
FULL_KILLS = 30
QUICK_STOPS = 1
FULL_STOPS = 5
WARM_S = 0.1
QUICK_SOAK_S = 5.0
FULL_SOAK_S = 40.0

GOAL_KILLED_MS = 10.0
GOAL_STOPPED_MS = 1500.0

METHOD = [
    "ipc, 64 bytes each way, every answer compared; servers pinned to one core, callers to another",
    "a round: two slices of each side (left, right, right, left); a ratio is taken within a round",
    "argosy: uvloop where installed, with ids, deadlines, types, metrics and a trace; 32 callers at once",
    "typed: a struct of two fields in and out, checked at both ends; frames: the 64 bytes as they are",
    "raw_req_rep: REQ and REP in blocking loops; raw_dealer_router: a blocking DEALER with 32 in flight",
    "array: 1 MiB of float32 there and back, one caller; copying: REQ and REP with the array in msgpack",
    "figures: processor time per request of caller and callee, with metrics and without; 50 ms each",
    "killed, stopped: from the signal until the last of 100 requests in flight ended with a named error",
    "lost, executed twice or late: outcomes at the callers compared with the callees' logs, see soak",
]


class WireResults(msgspec.Struct, frozen=True):
    """The results: rounds by label, failure latencies by signal, threads by process."""

    rows: list[Row]
    paired_rounds: dict[str, list[PairedRound]]
    killed: list[FailureLatency]
    stopped: list[FailureLatency]
    thread_counts: dict[str, ThreadCounts]
    account: Reconciliation
    skipped: dict[str, str]


def measure(options: Options) -> Result:
    """Run the rounds and return what they found."""
    machine = this_machine()
    compile_packages(PACKAGES)
    compile_folder(BENCH)
    with bench_processes() as processes:
        results = find(processes, options)
    return Result(
        name="wire",
        machine=machine,
        ratios=dict(ratios(results)),
        values=values(results),
        skipped=results.skipped,
        method=METHOD,
    )


def find(processes: BenchProcesses, options: Options) -> WireResults:
    """Measure failing peers, run a short soak, then compare the two sides of each row."""
    quick = options.quick
    killed = _measure_failures(processes, QUICK_KILLS if quick else FULL_KILLS, signal.SIGKILL, "PeerLost")
    stopped = _measure_failures(processes, QUICK_STOPS if quick else FULL_STOPS, signal.SIGSTOP, "PeerFrozen")
    account = run_soak(processes, QUICK_SOAK_S if quick else FULL_SOAK_S).account
    program = ComparisonPlan(processes, quick=quick)
    program.caller.run("threads", WARM_S)
    thread_counts = {
        "agent": count_threads(program.echo.pid),
        "caller": count_threads(program.caller.pid),
        "50_old_users": _count_legacy_threads(processes),
    }
    paired_rounds: dict[str, list[PairedRound]] = defaultdict(list)
    taken = _rounds(program, options, paired_rounds)
    if taken < options.rounds:
        why = f"{taken} of {options.rounds}: this machine is too busy for more in {QUICK_S:g} s"
        program.skipped["wire.rounds"] = why
    return WireResults(program.rows, paired_rounds, killed, stopped, thread_counts, account, program.skipped)


def _measure_failures(
    processes: BenchProcesses, count: int, number: signal.Signals, expected: str
) -> list[FailureLatency]:
    found = [measure_failure(processes, number, expected) for _ in range(count)]
    log_progress(
        f"{count} peers got {number.name}: the last call ended after {max(f.last_ms for f in found):.1f} ms"
    )
    return found


def _rounds(program: ComparisonPlan, options: Options, paired_rounds: dict[str, list[PairedRound]]) -> int:
    slice_s = QUICK_SLICE_S if options.quick else FULL_SLICE_S
    taken = 0
    for number, row in interleave(options.rounds, program.rows, options.deadline_s):
        for _ in range(row.rounds):
            paired_rounds[row.label].append(compare(row.left, row.right, slice_s, row.turns))
        last = paired_rounds[row.label][-1]
        log_progress(
            f"round {number + 1} of {options.rounds}, {row.label}: {last.left_rate / last.right_rate:.2f}"
        )
        taken = number + 1
    return taken


def _count_legacy_threads(processes: BenchProcesses) -> ThreadCounts:
    process = processes.launch("old_users", [sys.executable, "-m", "wire_cases.legacy_contexts"])
    process.wait_until_ready()
    thread_counts = count_threads(process.pid)
    process.end()
    return thread_counts


def ratios(results: WireResults) -> Iterator[tuple[str, Ratio]]:
    """Yield each row's ratio; for rates higher is better, for costs lower."""
    for row in results.rows:
        paired_rounds = results.paired_rounds[row.label]
        if row.counts == "rate":
            left, right = [b.left_rate for b in paired_rounds], [b.right_rate for b in paired_rounds]
            yield row.label, ratio_of(left, right, goal=row.goal, unit="requests/s", better="higher")
        else:
            left, right = [b.left_us for b in paired_rounds], [b.right_us for b in paired_rounds]
            yield row.label, ratio_of(left, right, goal=row.goal, unit="us/request")


def values(results: WireResults) -> dict[str, Value]:
    """Return the failure latencies, the counts of the soak, and the contexts of each process."""
    killed = [failure.last_ms for failure in results.killed]
    stopped = [failure.last_ms for failure in results.stopped]
    account = results.account
    found = {
        "wire.killed.last_of_100_ms": value_of(killed, "ms", goal=GOAL_KILLED_MS),
        "wire.killed.last_of_100_ms.p99": p99_of(killed, "ms", goal=GOAL_KILLED_MS),
        "wire.stopped.last_of_100_ms": p99_of(stopped, "ms", goal=GOAL_STOPPED_MS),
        "wire.requests": count_of(account.sent, "requests"),
        "wire.silent_losses": count_of(account.lost + account.answered_not_logged, "requests", goal=0),
        "wire.executed_twice": count_of(account.executed_twice, "requests", goal=0),
        "wire.executed_late": count_of(account.late, "requests", goal=0),
        "wire.executed_though_denied": count_of(account.executed_despite_error, "requests", goal=0),
        "wire.wrong_answers": count_of(account.wrong, "requests", goal=0),
    }
    found |= rates(results)
    for name, thread_counts in results.thread_counts.items():
        found[f"wire.{name}.contexts"] = count_of(thread_counts.contexts, "contexts", goal=1)
        found[f"wire.{name}.io_threads"] = count_of(thread_counts.io_threads, "threads", goal=1)
        found[f"wire.{name}.threads"] = count_of(thread_counts.total, "threads")
    return found


def rates(results: WireResults) -> dict[str, Value]:
    """Return the requests per second of each side over all its rounds."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in results.rows:
        if row.counts == "rate":
            left, _, right = row.label.removeprefix("wire.").partition("/")
            found[left] += [paired_round.left_rate for paired_round in results.paired_rounds[row.label]]
            found[right] += [paired_round.right_rate for paired_round in results.paired_rounds[row.label]]
    return {
        f"wire.rate.{name}": value_of(each, "requests/s", better="higher") for name, each in found.items()
    }


if __name__ == "__main__":
    sys.exit(run_bench("wire", (__doc__ or "").partition("\n")[0], measure))
