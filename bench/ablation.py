"""Measures what each change that a zygote makes to its interpreter gains: all on, and each off alone.

`python bench/ablation.py [--json] [--quick]`; needs `argosy[bench]`. The method is in bench/README.md.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from argosy.engine.fork.copy_on_write import SWITCHES, WITHOUT_VARIABLE
from launchers.by_argosy import ArgosyLauncher
from testbed.bytecode_warmup import compile_packages
from testbed.fleet_environment import FleetEnvironment
from testbed.fleet_files import TYPICAL_AGENT, UNTUNED_AGENT, temporary_fleets_like
from testbed.health_polling import request_each
from testbed.host_info import this_machine
from testbed.kill_latency import measure_kill
from testbed.process_usage import agents_private_bytes, pss_bytes_of_all
from testbed.result import Ratio, Result, Value, ratio_of, value_of
from testbed.runner import Options, interleave, log_progress, run_bench
from testbed.start_measurement import measure_start

PACKAGES = (
    *("argosy", "msgspec", "zmq", "yaml", "setproctitle", "uvloop", "psutil", "pydantic", "pydantic_core"),
    "numpy",
)
PROGRAMS = {"typical": TYPICAL_AGENT, "untuned": UNTUNED_AGENT}
ALL_ON = "all_on"
QUICK_AGENTS, QUICK_RESTARTS = 8, 2
FULL_AGENTS, FULL_RESTARTS = 16, 5
PORTS_WITHIN_S = 10.0
COLLECT = b'{"action":"collect"}'
# A change that gains less is not worth what it does to somebody else's interpreter.
GOAL = 1.05
# The switches that are for another quantity than the memory of an agent.
GAINS = defaultdict(lambda: "private", prefork="restart")

METHOD = [
    "typical: bench/agents/typical.py; untuned: bench/agents/untuned.py (numpy, much of the stdlib)",
    "names, ports and needs of the example; a full run has 16 agents, a quick one 8",
    "a round starts each program with all switches on, then with each off alone; odd rounds backwards",
    "ratio: without the switch / all on, within a round; the goal is for the quantity it is made for,",
    "  and a switch is kept that reaches it with either program",
    "private: pages of one agent that it shares with no other process (smaps_rollup), median of all agents,",
    "  after gc.collect() in each; pss: of all processes, then",
    "cpu, wall: as in bench/start.py; wall means little where disturbance is above 0.1",
    "restart: from the SIGKILL of an agent until the supervisor reports it ready, median of one start",
]


class Sample(msgspec.Struct, frozen=True):
    """One start of a fleet."""

    private: float
    pss: float
    cpu: float
    wall: float
    restart: float
    disturbance: float


UNITS = {
    "private": "MiB per agent",
    "pss": "MiB",
    "cpu": "s",
    "wall": "s",
    "restart": "ms",
    "disturbance": "of the machine",
}


class LauncherWithout(ArgosyLauncher):
    """Starts a fleet whose zygotes leave out the named switch."""

    def __init__(self, switch: str) -> None:
        super().__init__(switch)

    def start(self, fleet_env: FleetEnvironment) -> None:
        """Run `argosy up`; it must report every agent as ready."""
        if self.name != ALL_ON:
            fleet_env.environ[WITHOUT_VARIABLE] = self.name
        super().start(fleet_env)


def measure(options: Options) -> Result:
    """Run the rounds and return what they found."""
    machine = this_machine()
    compile_packages(PACKAGES)
    agents = QUICK_AGENTS if options.quick else FULL_AGENTS
    with contextlib.ExitStack() as stack:
        paths = {
            name: stack.enter_context(temporary_fleets_like(options.fleet, run, agents)).processes
            for name, run in PROGRAMS.items()
        }
        samples = run_rounds(options, paths)
    return Result(
        name="ablation",
        machine=machine,
        ratios=dict(ratios(samples)),
        values=dict(values(samples)),
        skipped={},
        method=METHOD,
    )


def run_rounds(options: Options, paths: dict[str, Path]) -> dict[tuple[str, str], list[Sample]]:
    """Return the samples by program and switch, one per round."""
    restarts = QUICK_RESTARTS if options.quick else FULL_RESTARTS
    variants = [(program, switch) for switch in (ALL_ON, *SWITCHES) for program in PROGRAMS]
    samples = defaultdict(list)
    for number, (program, switch) in interleave(options.rounds, variants, options.deadline_s):
        found = sample_start(switch, paths[program], restarts)
        samples[program, switch].append(found)
        told = f"{program}, {switch} off: {found.private:.2f} MiB, disturbed {found.disturbance:.0%}"
        log_progress(f"round {number + 1} of {options.rounds}, {told}")
    return samples


def sample_start(switch: str, path: Path, restarts: int) -> Sample:
    """Start the fleet without the switch, collect garbage, and restart a few agents."""
    after: list[float] = []

    def on_ready(fleet_env: FleetEnvironment) -> None:
        request_each(fleet_env.ports, COLLECT)
        private = statistics.median(agents_private_bytes()) / 2**20
        pss = pss_bytes_of_all() / 2**20
        names = list(fleet_env.ports)[-restarts:]
        restart = statistics.median(measure_kill(fleet_env, name).ready_again_ms for name in names)
        after.extend((private, pss, restart))

    start = measure_start(LauncherWithout(switch), path, PORTS_WITHIN_S, on_ready)
    private, pss, restart = after
    return Sample(private, pss, start.usage.processor_s, start.wall_s, restart, start.disturbance)


def series(samples: Sequence[Sample], quantity: str) -> list[float]:
    """Return one quantity of each sample."""
    return [getattr(each, quantity) for each in samples]


def ratios(samples: dict[tuple[str, str], list[Sample]]) -> list[tuple[str, Ratio]]:
    """Return what each switch gains of the quantity that it is made for."""
    found = []
    for (program, switch), without in samples.items():
        if switch != ALL_ON:
            quantity = GAINS[switch]
            sides = [series(each, quantity) for each in (without, samples[program, ALL_ON])]
            label = f"ablation.{program}.{switch}.{quantity}/{ALL_ON}"
            found.append((label, ratio_of(*sides, goal=GOAL, unit=UNITS[quantity], better="higher")))
    return found


def values(samples: dict[tuple[str, str], list[Sample]]) -> list[tuple[str, Value]]:
    """Return the quantities with all on, and of each switch its other ratios."""
    found = []
    for (program, switch), without in samples.items():
        for quantity, unit in UNITS.items():
            here = series(without, quantity)
            if switch == ALL_ON:
                found.append((f"ablation.{program}.{quantity}", value_of(here, unit)))
            elif quantity not in (GAINS[switch], "disturbance"):
                there = series(samples[program, ALL_ON], quantity)
                of_all_on = [one / other for one, other in zip(here, there, strict=True)]
                found.append((f"ablation.{program}.{switch}.{quantity}", value_of(of_all_on, "of all on")))
    return found


if __name__ == "__main__":
    sys.exit(run_bench("ablation", (__doc__ or "").partition("\n")[0], measure))
