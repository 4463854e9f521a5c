"""Wire bench: reconciliation, trends, paired comparison and failure measurement, on real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(
    str(Path(__file__).resolve().parents[2] / "bench")
)  # behind the tests, which have rooms of the same names

from argosy.fault import RefusedError
from argosy.wire import connect
from testbed.process_usage import descendants
from wire_cases.bench_processes import BENCH, BenchProcesses, bench_processes
from wire_cases.execution_log import (
    CALLER_SHIFT,
    ExecutionLog,
    Outcome,
    OutcomeLog,
    Reconciliation,
    reconcile,
)
from wire_cases.paired_comparison import ComparisonSide, compare
from wire_cases.peer_failure import measure_failure
from wire_cases.process_stats import ProcessStats, trend
from wire_cases.thread_counts import count_threads

NOW_US = 10**12  # later than any monotonic clock of a test machine: nothing is late by itself
FAULTS = (
    "soak.lost",
    "soak.wrong_answers",
    "soak.answered_and_unlogged",
    "soak.executed_twice",
    "soak.executed_though_denied",
)


@pytest.fixture
def processes() -> Iterator[BenchProcesses]:
    before = set(descendants())
    with bench_processes() as made:
        yield made
    assert not made.folder.exists()
    assert set(descendants()) == before


# -- the account ------------------------------------------------------------------------------


class BenchLogs:
    """The two logs of one account."""

    def __init__(self, folder: Path) -> None:
        self.outcomes_path = folder / "endings"
        self.log_path = folder / "ledger"
        self.outcomes = OutcomeLog(self.outcomes_path)
        self.execution_log = ExecutionLog(str(self.log_path))

    def reconciled(self, sent: int, *old_clients: int) -> Reconciliation:
        self.outcomes.close()
        return reconcile(sent, [self.outcomes_path], [self.log_path], set(old_clients))


@pytest.fixture
def bench_logs(tmp_path: Path) -> BenchLogs:
    return BenchLogs(tmp_path)


def test_reconciliation_of_consistent_logs_reports_no_fault(bench_logs):
    for number, outcome in enumerate((Outcome.ANSWERED, Outcome.PeerLost, Outcome.NotSent)):
        bench_logs.outcomes.append(number, outcome)
    for number in (0, 1):
        bench_logs.execution_log.append(number, NOW_US)

    account = bench_logs.reconciled(3)

    assert account.outcomes == {"ANSWERED": 1, "NotSent": 1, "PeerLost": 1}
    assert account.executed == 2
    assert [
        account.lost,
        account.wrong,
        account.answered_not_logged,
        account.executed_twice,
        account.late,
        account.executed_despite_error,
    ] == [0] * 6


def test_reconciliation_counts_request_without_outcome_as_lost(bench_logs):
    bench_logs.outcomes.append(0, Outcome.NotSent)

    assert bench_logs.reconciled(2).lost == 1


def test_reconciliation_reports_answer_without_logged_execution(bench_logs):
    bench_logs.outcomes.append(0, Outcome.ANSWERED)

    assert bench_logs.reconciled(1).answered_not_logged == 1


def test_reconciliation_reports_request_executed_twice(bench_logs):
    bench_logs.outcomes.append(0, Outcome.PeerLost)
    bench_logs.execution_log.append(0, NOW_US)
    bench_logs.execution_log.append(0, NOW_US)

    assert bench_logs.reconciled(1).executed_twice == 1


def test_reconciliation_reports_execution_despite_error(bench_logs):
    bench_logs.outcomes.append(0, Outcome.NotSent)
    bench_logs.execution_log.append(0, NOW_US)

    assert bench_logs.reconciled(1).executed_despite_error == 1


def test_reconciliation_reports_late_execution_unless_client_sends_no_deadline(bench_logs):
    old, new = 3 << CALLER_SHIFT, 1 << CALLER_SHIFT
    for number in (old, new, new + 1, new + 2):
        bench_logs.outcomes.append(number, Outcome.TIMED_OUT)
        bench_logs.execution_log.append(number, 1)

    account = bench_logs.reconciled(4, 3)

    # One may have been caught between its check and its execution by a pause; the two behind it were not.
    assert (account.executed_after_pause, account.late) == (1, 2)


# -- vitals -----------------------------------------------------------------------------------


def test_trend_ignores_warm_up_samples():
    looks = [ProcessStats(size, 10, 3) for size in [1, *[100] * 4, *[110] * 4, 120]]

    found = trend(looks, lambda each: each.resident_bytes, max)

    assert (found.first, found.last) == (100, 120)


def test_trend_refuses_too_few_samples():
    with pytest.raises(ValueError, match="at least 5 samples"):
        trend([ProcessStats(1, 1, 1)] * 4, lambda each: each.threads, max)


# -- processes --------------------------------------------------------------------------------


def test_paired_comparison_measures_both_sides(processes):
    echo, raw = processes.agent("Echo", "wire_cases.echo_agent:Echo"), processes.server("by_raw")
    argosy, bare = processes.caller("by_argosy"), processes.caller("by_raw")

    for load, raw_way in (("one_sync", "req"), ("threads", "dealer"), ("frames", "dealer")):
        paired_round = compare(ComparisonSide(argosy, load, echo), ComparisonSide(bare, raw_way, raw), 0.05)
        assert paired_round.left_rate > 100
        assert paired_round.right_rate > 100
        assert 0 < paired_round.left_us < 1e4


def test_bench_client_failure_is_reported_with_its_error(processes):
    with pytest.raises(RefusedError, match="KeyError: 'no_such_way'"):
        processes.caller("by_raw").run("no_such_way", 0.1)


def test_agent_has_one_context_and_one_io_thread(processes):
    echo = processes.agent("Echo", "wire_cases.echo_agent:Echo")

    thread_counts = count_threads(echo.pid)

    assert (thread_counts.contexts, thread_counts.io_threads) == (1, 1)


def test_measure_failure_times_errors_of_killed_and_frozen_peer(processes):
    assert measure_failure(processes, signal.SIGKILL, "PeerLost").last_ms < 1000
    assert measure_failure(processes, signal.SIGSTOP, "PeerFrozen").first_ms > 500


def test_measure_failure_refuses_unexpected_outcome(processes):
    with pytest.raises(RefusedError, match="with PeerLost; expected `NotSent`"):
        measure_failure(processes, signal.SIGKILL, "NotSent")


@pytest.mark.slow
def test_short_soak_reports_no_lost_or_duplicate_request():
    ended = subprocess.run(
        [sys.executable, str(BENCH / "soak.py"), "--json", "--seconds", "15"],
        capture_output=True,
        text=True,
        timeout=55,
    )

    assert ended.returncode == 0, ended.stderr
    values = {label: value["value"] for label, value in json.loads(ended.stdout)["values"].items()}
    assert values["soak.sent"] > 1000
    assert values["soak.kills"] > 0
    assert values["soak.freezes"] > 0
    assert values["soak.sent"] == sum(v for label, v in values.items() if label.startswith("soak.ended."))
    for fault in (
        "lost",
        "wrong_answers",
        "answered_and_unlogged",
        "executed_twice",
        "executed_though_denied",
    ):
        assert values[f"soak.{fault}"] == 0, fault


def test_agent_counts_requests_only_while_metrics_are_kept(processes: BenchProcesses) -> None:
    processes.register_agent("MetricsSwitch")
    command = [sys.executable, "-m", "wire_cases.without_metrics"]
    processes.launch("MetricsSwitch", command, {"ARGOSY_AGENT": "MetricsSwitch"}).wait_until_ready()
    with connect("MetricsSwitch", book=processes.book) as agent:
        counts = []
        for kept in (True, False, True):
            agent.keep_metrics(kept=kept)
            before = agent.health()["handled"]
            assert [agent.frame(data=b"x") for _ in range(5)] == [b"x"] * 5
            counts.append(agent.health()["handled"] - before)
    assert counts == [6, 0, 6]  # the question for health is one itself
