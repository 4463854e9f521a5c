"""Measures one fleet on two machines: readiness across the link, starts, and a cut link.

`python bench/machines.py [--json] [--quick]`; needs `argosy[bench]`, the tests of the checkout, network
namespaces. The method is in bench/README.md.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from argosy.engine.protocol.state_machine import READY_STATES, State
from argosy.engine.state.event_log import REMOTE_STATE, EventLogRecord, read_event_log
from argosy.fault import Fault, RefusedError
from argosy.fleet import load_fleet
from testbed.bytecode_warmup import compile_packages
from testbed.host_info import this_machine
from testbed.result import Ratio, Result, Value, count_of, p99_of, ratio_of, value_of
from testbed.runner import Options, interleave, log_progress, run_bench
from two_machines.two_machine_fleet import TwoMachineFleet, write_two_machine_fleet

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from rig.duo import Duo, until
from rig.lan import NoLanError

EACH_WAY = 12
DELAY_S = 0.02
MANY, AGENTS_EACH = 10, 100
STATUS_CALLS = 9
ROLL_S = 15.0  # duration of a rolling restart on a busy machine
CUT_DEADLINE_S, ROLL_DEADLINE_S = 1.0, 10.0
CALLED = 4  # agents that the caller calls
_READY = {state.value for state in READY_STATES}

METHOD = [
    "two machines: network namespaces on one bridge, 192.168.100.16 and .17, with CURVE keys",
    f"the fleet: names, machines, ports and needs of --fleet (58 + 26), and {EACH_WAY} more needs each way",
    "start: the command `up -d --no-hub` on two machines (the second runs `serve`) and on one with all",
    "  agents; from cold: no other supervisor, no zygote",
    "crossing: from a need's readiness in the event log of its machine to the start of the waiting agent,",
    "  in the event log of the other; all machines share the clock of this host",
    "cut: the cable is cut under the running fleet; `noticed`: until an event log says so; `again`: from the",
    "  repair until connected; `started_twice`: starts, by the agents' own logs, beyond one each",
    f"requests: of {CALLED} threads that call agents across the cable, with a deadline of 1 s, after all had",
    "  an answer before the cut;",
    "  `unnamed`: neither answered nor failed with a named error",
    "rolling: `restart --rolling` of all while the same threads call idempotent methods with deadlines of",
    f"  {ROLL_DEADLINE_S:g} s: a request that the wire sends again is not a failure, an error is",
    f"status: the whole command on one of {MANY} linked machines with {AGENTS_EACH} agents each",
]


def measure(options: Options) -> Result:
    """Run the rounds, the cut, and the many machines; return the results."""
    compile_packages(("argosy", "msgspec", "zmq", "yaml", "setproctitle"))
    ratios: dict[str, Ratio] = {}
    values: dict[str, Value] = {}
    skipped: dict[str, str] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="am-", dir="/tmp") as name:
            measure_pair(options, Path(name), ratios, values, skipped)
        measure_many(options, values, skipped)
    except NoLanError as reason:
        skipped["machines"] = str(reason)
    return Result(
        name="machines",
        machine=this_machine(),
        ratios=ratios,
        values=values,
        skipped=skipped,
        method=METHOD,
    )


def measure_pair(
    options: Options,
    root: Path,
    ratios: dict[str, Ratio],
    values: dict[str, Value],
    skipped: dict[str, str],
) -> None:
    """Start the fleet on two machines and on one, in turn; then measure the cut and the rolling restart."""
    fleet = write_two_machine_fleet(root, options.fleet, EACH_WAY)
    took: dict[str, list[float]] = defaultdict(list)
    crossings: list[float] = []
    slow: list[float] = []
    with pair(root, fleet) as host_pair:
        host_pair.make_keys()
        # With one machine, the first acts as the second too and needs its key.
        first, second = (host_pair.root / name / "keys" for name in fleet.machines)
        shutil.copy(second / f"{fleet.machines[1]}.secret", first)
        host_pair.serve(fleet.machines[1])
        # Leave time for the cut and for the many machines.
        until_s = options.deadline_s - 25.0 if options.quick else options.deadline_s
        for number, way in interleave(options.rounds, ["two", "one"], until_s):
            took[way].append(start(host_pair, fleet, way))
            if way == "two":
                crossings += cross_machine_ready_times(host_pair, fleet)
            down(host_pair, fleet, way)
            log_progress(f"round {number + 1} of {options.rounds}, {way}: {took[way][-1]:.2f} s")
        if options.quick:
            skipped["machines.crossing_slow"] = "--quick"
        else:
            host_pair.machines[fleet.machines[1]].slow(DELAY_S)
            start(host_pair, fleet, "two")
            slow = cross_machine_ready_times(host_pair, fleet)
            down(host_pair, fleet, "two")
            host_pair.machines[fleet.machines[1]].quicken()
        ratios["machines.start_two/start_one"] = ratio_of(took["two"], took["one"], goal=1.25, unit="s")
        values["machines.crossing"] = value_of([1000 * each for each in crossings], "ms", goal=10.0)
        values["machines.crossing_p99"] = p99_of([1000 * each for each in crossings], "ms")
        if slow:
            goal = 10.0 + 1000 * DELAY_S
            values["machines.crossing_slow"] = value_of([1000 * each for each in slow], "ms", goal=goal)
        values |= measure_link_cut(host_pair, fleet)
        left_s = options.deadline_s - time.monotonic()
        if left_s > ROLL_S:
            values |= measure_rolling_restart(host_pair, fleet)
        else:
            skipped["machines.rolling_requests_failed"] = f"{left_s:.0f} s are left, 84 restarts take more"


@contextlib.contextmanager
def pair(root: Path, fleet: TwoMachineFleet) -> Iterator[Duo]:
    """Yield the two machines and remove them afterwards."""
    host_pair = Duo(root / "m", dict(zip(fleet.machines, ("192.168.100.16", "192.168.100.17"), strict=True)))
    host_pair.fleet = fleet.path
    try:
        yield host_pair
    finally:
        host_pair.close()


def start(host_pair: Duo, fleet: TwoMachineFleet, way: str) -> float:
    """Start the fleet from the first machine and return the seconds that the command takes."""
    for lives in fleet.log_dir.iterdir():
        lives.unlink()
    words = ["up", "-d", "--no-hub", "--json", "--env", "together" if way == "one" else "development"]
    began = time.monotonic()
    done = host_pair.argosy(fleet.machines[0], *words, code=None, timeout_s=120)
    took = time.monotonic() - began
    account = json.loads(done.stdout)
    if done.returncode or len(account["ready"]) != len(fleet.machine_of):
        first = next(iter(account.get("not_ready", {}).items()), account)
        raise RefusedError(Fault("bench", "not-up", f"on {way} machine(s) the fleet is not up: {first}"))
    return took


def down(host_pair: Duo, fleet: TwoMachineFleet, way: str) -> None:
    """Stop the fleet, so that the next start is from cold on the first machine."""
    host_pair.argosy(fleet.machines[0], "down", timeout_s=120)


def read_events(host_pair: Duo, machine: str) -> list[EventLogRecord]:
    """Return the events of a machine's supervisor since the last start."""
    (path,) = (host_pair.root / machine / "state/argosy").glob("*/event-log")
    entries = list(read_event_log(path))
    last = max((at for at, entry in enumerate(entries) if entry.kind == "apply"), default=0)
    return entries[last:]


def cross_machine_ready_times(host_pair: Duo, fleet: TwoMachineFleet) -> list[float]:
    """Return the seconds from the readiness of each added need that decided a start to that start."""
    events = {machine: read_events(host_pair, machine) for machine in fleet.machines}
    ready: dict[str, dict[str, float]] = {}
    begun: dict[str, float] = {}
    for machine, entries in events.items():
        known = ready[machine] = {}
        for entry in entries:
            if entry.kind in ("state", REMOTE_STATE) and entry.state in _READY:
                known.setdefault(entry.agent, entry.mono_s)
            if entry.kind == "state" and entry.state == State.STARTING:
                begun.setdefault(entry.agent, entry.mono_s)
    found = []
    needs = needs_of(fleet)
    for agent, need in fleet.crossings:
        here, there = fleet.machine_of[agent], fleet.machine_of[need]
        is_last = all(ready[here][other] <= ready[here][need] for other in needs[agent])
        if is_last:
            found.append(begun[agent] - ready[there][need])
    return found


def needs_of(fleet: TwoMachineFleet) -> dict[str, list[str]]:
    """Return the needs of each agent, including the added ones."""
    return {name: [n.agent for n in agent.needs] for name, agent in load_fleet(fleet.path).agents.items()}


def measure_link_cut(host_pair: Duo, fleet: TwoMachineFleet) -> dict[str, Value]:
    """Cut the cable under the running fleet during calls across it, repair it, and run `up` again."""
    one, two = fleet.machines
    start(host_pair, fleet, "two")
    caller = call(host_pair, fleet, CUT_DEADLINE_S)
    cut_at = time.monotonic()
    host_pair.machines[two].cut()
    noticed = [blind - cut_at for blind in event_times(host_pair, fleet, "machine-unreachable", cut_at)]
    mended_at = time.monotonic()
    host_pair.machines[two].mend()
    again = [
        connected_at - mended_at
        for connected_at in event_times(host_pair, fleet, "machine-connected", mended_at)
    ]
    host_pair.argosy(one, "up", "-d", "--no-hub", timeout_s=60)
    counts = read_call_counts(caller)
    lives = {path.name: len(path.read_text().split()) for path in fleet.log_dir.iterdir()}
    extra = sum(lives.get(name, 0) - 1 for name in fleet.machine_of)
    log_progress(f"cut noticed after {max(noticed):.2f} s, linked again after {max(again):.2f} s, {counts}")
    down(host_pair, fleet, "two")
    return {
        "machines.cut_noticed": value_of(noticed, "s", goal=3.0),
        "machines.linked_again": value_of(again, "s", goal=5.0),
        "machines.started_twice": count_of(extra, "lives", goal=0),
        "machines.requests_failed_by_name": count_of(counts["failed_named"], f"of {counts['sent']}"),
        "machines.requests_unnamed": count_of(counts["lost"], f"of {counts['sent']}", goal=0),
    }


def call(host_pair: Duo, fleet: TwoMachineFleet, deadline_s: float) -> subprocess.Popen[str]:
    """Start the process that calls agents of the second machine from the first."""
    one, two = fleet.machines
    far = [name for name, machine in fleet.machine_of.items() if machine == two][:CALLED]
    book = next((host_pair.root / one / "state/argosy").glob("*/book.json"))
    caller: subprocess.Popen[str] = host_pair.machines[one].popen(
        [
            sys.executable,
            str(Path(__file__).parent / "two_machines/cross_machine_caller.py"),
            str(deadline_s),
            *far,
        ],
        env={**host_pair.env(one), "ARGOSY_BOOK": str(book)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == "calling\n"
    return caller


def read_call_counts(caller: subprocess.Popen[str]) -> dict[str, int]:
    """End the calls and return the counts."""
    out, _ = caller.communicate("", timeout=60)
    counts: dict[str, int] = json.loads(out)
    return counts


def measure_rolling_restart(host_pair: Duo, fleet: TwoMachineFleet) -> dict[str, Value]:
    """Restart the whole fleet, one agent after another, during idempotent calls across machines."""
    one = fleet.machines[0]
    start(host_pair, fleet, "two")
    caller = call(host_pair, fleet, ROLL_DEADLINE_S)
    told = host_pair.json(one, "restart", "--rolling")
    counts = read_call_counts(caller)
    if len(told["restarted"]) != len(fleet.machine_of):
        raise RefusedError(
            Fault("bench", "not-rolled", f"some agents were not restarted: {told['not_ready']}")
        )
    log_progress(f"restarted {len(told['restarted'])} agents in {told['seconds']:.1f} s, {counts}")
    down(host_pair, fleet, "two")
    failed = counts["failed_named"] + counts["lost"]
    return {
        "machines.rolling_restart": value_of([told["seconds"]], "s"),
        "machines.rolling_requests_failed": count_of(failed, f"of {counts['sent']}", goal=0),
    }


def event_times(host_pair: Duo, fleet: TwoMachineFleet, kind: str, after: float) -> list[float]:
    """Wait until each machine has logged this event about the other, and return the times."""

    def first_event_time(machine: str) -> float | None:
        times = [
            each.mono_s
            for each in read_events(host_pair, machine)
            if each.kind == kind and each.mono_s >= after
        ]
        return times[0] if times else None

    return [until(functools.partial(first_event_time, machine)) for machine in fleet.machines]


MANY_FLEET = """
fleet: many
machines: {machines}
environments:
  development: {hosts}
defaults: {{run: [sleep, infinity], ready: {{probe: alive, seconds: 0}}}}
agents:
"""


def measure_many(options: Options, values: dict[str, Value], skipped: dict[str, str]) -> None:
    """Measure `status` on one of ten linked machines with a hundred agents each."""
    left_s = options.deadline_s - time.monotonic()
    if left_s < 16.0:
        skipped["machines.status"] = f"{left_s:.0f} s are left, a thousand agents take more"
        return
    hosts = {f"m{number}": f"192.168.100.{20 + number}" for number in range(MANY)}
    with tempfile.TemporaryDirectory(prefix="am-", dir="/tmp") as name:
        host_pair = Duo(Path(name) / "m", hosts)
        try:
            text = MANY_FLEET.format(
                machines=json.dumps({machine: {} for machine in hosts}), hosts=json.dumps(hosts)
            )
            for machine in hosts:
                text += "".join(f"  {machine}a{n}: {{machine: {machine}}}\n" for n in range(AGENTS_EACH))
            host_pair.fleet.write_text(text)
            host_pair.make_keys()
            for machine in list(hosts)[1:]:
                host_pair.serve(machine)
            log_progress(f"starting {MANY * AGENTS_EACH} agents on {MANY} machines")
            host_pair.argosy("m0", "up", "-d", "--no-hub", timeout_s=120)
            values["machines.status"] = value_of(status_times(host_pair), "ms", goal=200.0)
        finally:
            host_pair.close()


def status_times(host_pair: Duo) -> list[float]:
    """Return the milliseconds of several `status --json`."""
    took = []
    command = os.path.join(os.path.dirname(sys.executable), "argosy")
    for _ in range(STATUS_CALLS):
        began = time.monotonic()
        done = host_pair.machines["m0"].run(
            [command, "status", "--json", "--fleet", str(host_pair.fleet)], env=host_pair.env("m0")
        )
        took.append(1000 * (time.monotonic() - began))
        told = json.loads(done.stdout)
        assert len(told["agents"]) == MANY * AGENTS_EACH, len(told["agents"])
    return took


if __name__ == "__main__":
    sys.exit(run_bench("machines", __doc__.splitlines()[0], measure))
