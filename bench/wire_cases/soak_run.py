"""Runs a soak: callers of every kind, agents that are killed and frozen, and a reconciliation.

In a day, a fleet has a few dozen crashes and some hundred thousand requests; a soak has as many in minutes.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import msgspec

from wire_cases.bench_processes import BenchProcesses, Server
from wire_cases.execution_log import Reconciliation, reconcile
from wire_cases.fault_injection import FaultInjector, FaultTarget, execution_logs
from wire_cases.process_stats import ProcessStats, sample
from wire_cases.soak_client import ClientReport

KINDS: Final = ("tasks", "threads", "old")
SEED: Final = 20240229
_STEP_S: Final = 0.02
_SAMPLES: Final = 200  # in a run, of each process
_END_WITHIN_S: Final = 30.0
_read_told = msgspec.json.Decoder(ClientReport).decode


class SoakResult(msgspec.Struct, frozen=True):
    """The result of a soak. samples: by process, of the processes that run all the time."""

    account: Reconciliation
    kills: int
    freezes: int
    late_ms: float
    samples: dict[str, list[ProcessStats]]


def run_soak(processes: BenchProcesses, seconds: float, seed: int = SEED) -> SoakResult:
    """Send requests to agents for `seconds` while they are killed and frozen.

    Raises RefusedError: a client failed with something other than a wire error.
    """
    never_killed, targets = (
        FaultTarget(processes, "Spared"),
        [FaultTarget(processes, f"Victim{number}") for number in (1, 2)],
    )
    for each in (never_killed, *targets):
        each.start()
    for each in (never_killed, *targets):
        each.wait_until_ready()
    names = [each.name for each in (never_killed, *targets)]
    until_s = time.monotonic() + seconds
    clients = [_start_client(processes, index, until_s, seed, names) for index in range(len(KINDS))]
    injector = FaultInjector(targets, never_killed, seed)
    assert never_killed.server is not None
    watched = {"agent": never_killed.server.pid, **{k: p.pid for k, p in zip(KINDS, clients, strict=True)}}
    samples = _run_until(injector, watched, until_s)
    injector.end()
    reports = [_read_report(client) for client in clients]
    for each in (never_killed, *targets):
        each.kill()
    outcomes = [processes.folder / f"client.{index}" for index in range(len(KINDS))]
    old = {index for index, kind in enumerate(KINDS) if kind == "old"}
    account = reconcile(
        sum(t.started for t in reports), outcomes, execution_logs([never_killed, *targets]), old
    )
    return SoakResult(account, injector.kills, injector.freezes, max(t.late_ms for t in reports), samples)


def _start_client(
    processes: BenchProcesses, index: int, until_s: float, seed: int, names: list[str]
) -> Server:
    command = [
        sys.executable,
        "-m",
        "wire_cases.soak_client",
        KINDS[index],
        str(index),
        repr(until_s),
        str(seed),
    ]
    client = processes.launch(f"client.{KINDS[index]}", [*command, *names], is_client=True)
    client.wait_until_ready()
    return client


def _run_until(
    injector: FaultInjector, watched: dict[str, int], until_s: float
) -> dict[str, list[ProcessStats]]:
    samples: dict[str, list[ProcessStats]] = {name: [] for name in watched}
    next_look = now = time.monotonic()
    between_s = (until_s - now) / _SAMPLES
    while now < until_s - _STEP_S:  # after that, the sampled processes exit
        injector.step(now)
        if now >= next_look:
            next_look += between_s
            for name, pid in watched.items():
                samples[name].append(sample(pid))
        time.sleep(_STEP_S)
        now = time.monotonic()
    return samples


def _read_report(client: Server) -> ClientReport:
    """Return the report of a client, which waits for its last requests."""
    assert client.process.stdout is not None
    line = client.process.stdout.readline()
    if not line:
        raise client.failure()
    client.process.wait(_END_WITHIN_S)
    return _read_told(line)
