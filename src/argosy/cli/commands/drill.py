"""Inject faults into a running fleet, and report detection, recovery and lost requests.

Each fault kills or freezes one agent's process; the report has the time until the supervisor noticed,
what noticed it, and the time until the agent was ready again. Meanwhile health requests are sent to
agents all the time, and each is counted as answered, failed with a named error, or lost. Without --kill
and --freeze faults hit random agents, one after another, for --minutes; freezes then hit only agents
with `liveness`. For an agent without `liveness` a freeze is noticed by its silence, and nothing
restarts it.

Faults hit only agents that are ready. Restarts caused by a drill do not count towards a restart limit.
A frozen process is resumed when the freeze was noticed, at the end, at Ctrl-C, and if the drill is
killed. At the end the drill starts agents that did not recover, and lists those that cannot be started.
In the production environment there are no random faults.

Exit code 1: a fault was not noticed, an agent did not recover or is not ready at the end, or a request
was lost.

example: argosy drill --kill Translator --freeze Memory

"""

from __future__ import annotations

import argparse
import contextlib
import random
from pathlib import Path

import msgspec

from argosy.cli.arguments import add_fleet, add_options, environment_name, parse_fleet
from argosy.cli.console import EXIT_INTERRUPTED, paint, print_json, print_note
from argosy.engine.explain.drill_load import DrillLoad, RequestCounts
from argosy.engine.explain.fault_drill import (
    PAUSE_RANGE_S,
    Drill,
    DrillFault,
    FaultKind,
    RestoreReport,
    random_faults,
)
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.engine.supervisor.agent_protocol import ArgosyWire, detect_protocol
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet
from argosy.fleet.quantities import format_count
from argosy.wire.address_book import read_address_book

_MAX_PROBED = 8
_PRODUCTION = "production"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy drill`."""
    add_fleet(parser)
    options = {
        "--kill A...": "kill this agent; repeatable",
        "--freeze A...": "freeze this agent (SIGSTOP); repeatable",
    }
    add_options(parser, options)
    parser.add_argument(
        "--minutes",
        metavar="M",
        type=float,
        default=None,
        help="inject random faults for M minutes (default 1)",
    )
    parser.add_argument(
        "--pause",
        metavar="S",
        type=float,
        default=None,
        help="seconds between two random faults (default: from 0.5 to 2)",
    )
    parser.add_argument(
        "--within",
        metavar="S",
        type=float,
        default=30.0,
        help="the time limit for detection, for recovery, and for the restoration at the end (default 30)",
    )
    parser.add_argument("--seed", type=int, default=None, help="random seed, to repeat a run")
    add_options(parser, {"--yes": "allow faults of named agents in the production environment"})


class DrillReport(msgspec.Struct):
    """The result of a drill. left_out: agents without a fault, with the reason.

    not_injected: named agents whose fault could not be injected. without_liveness: agents without
    `liveness`. is_interrupted: Ctrl-C ended the drill.
    """

    faults: list[DrillFault] = []
    requests: RequestCounts = msgspec.field(default_factory=RequestCounts)
    probed: tuple[str, ...] = ()
    left_out: dict[str, str] = {}
    not_injected: list[str] = []
    without_liveness: frozenset[str] = frozenset()
    restoration: RestoreReport = RestoreReport([], {}, [])
    is_interrupted: bool = False

    def is_successful(self) -> bool:
        """Return whether everything was noticed and is back, and no request was lost."""
        is_back = not (self.not_injected or self.restoration.not_restored)
        return is_back and all(map(DrillFault.is_recovered, self.faults)) and not self.requests.lost


def run(args: argparse.Namespace) -> int:
    """Run the drill; returns 0 if every fault was noticed, every agent recovered and no request was lost."""
    path, _ = parse_fleet(args)
    _check_times(args)
    fleet = load_fleet(path)
    state_dir = locate_state_dir(path)
    report = DrillReport(
        without_liveness=frozenset(n for n, each in fleet.agents.items() if not each.liveness)
    )
    with Drill(state_dir, args.within, str(path)) as drill:
        _check_environment(args, path, drill)
        for agent, kind in _named_faults(args):
            drill.check_target(agent, kind)
        fault_kinds = _random_fault_kinds(drill, fleet, report) if _is_random(args) else {}
        ready = drill.ready_agents()
        load = DrillLoad(state_dir.address_book, _agents_to_probe(args, drill, state_dir))
        report.probed = load.targets
        try:
            _inject_all(args, drill, fault_kinds, report)
        except KeyboardInterrupt:
            report.is_interrupted = True
        finally:
            with contextlib.suppress(KeyboardInterrupt):
                drill.resume()
                report.requests = load.stop()
        report.restoration = drill.restore(ready)
    _print_report(args, report)
    if report.is_interrupted:
        return EXIT_INTERRUPTED
    return 0 if report.is_successful() else 1


def _check_times(args: argparse.Namespace) -> None:
    for name in ("minutes", "pause", "within"):
        if getattr(args, name) is not None and not 0 < getattr(args, name) < 1e6:
            message = f"found {getattr(args, name)}, expected a positive number"
            raise InputError(Fault(f"--{name}", "usage", message))


def _check_environment(args: argparse.Namespace, path: Path, drill: Drill) -> None:
    """Raise InputError for random faults in production, RefusedError for named ones without `--yes`."""
    if _PRODUCTION not in (drill.fetch_status().environment, environment_name(args)):
        return
    message = "this is the production environment"
    if _is_random(args):
        hint = "name the agents: `argosy drill --kill AGENT --yes`"
        text = f"{message}, in which random faults are not allowed"
        raise InputError(Fault(str(path), "production", text, hint))
    if not args.yes:
        hint = "`--yes` allows faults of named agents"
        raise RefusedError(Fault(str(path), "production", message, hint))


def _is_random(args: argparse.Namespace) -> bool:
    return args.minutes is not None or not _named_faults(args)


def _named_faults(args: argparse.Namespace) -> list[tuple[str, FaultKind]]:
    named: list[tuple[str, FaultKind]] = [(agent, "kill") for agent in args.kill]
    return [*named, *((agent, "freeze") for agent in args.freeze)]


def _random_fault_kinds(drill: Drill, fleet: Fleet, report: DrillReport) -> dict[str, tuple[FaultKind, ...]]:
    """Return the agents that random faults may hit, and with which kinds; record the others as left out.

    Raises RefusedError: there is none.
    """
    local_agents = drill.fetch_status().local_agents()
    fault_kinds: dict[str, tuple[FaultKind, ...]] = {}
    for name, agent in fleet.agents.items():
        if name not in local_agents:
            report.left_out[name] = "it does not run on this machine"
        elif agent.restart == "never":
            report.left_out[name] = "`restart: never`: it would not come back"
        else:
            fault_kinds[name] = ("kill", "freeze") if agent.liveness else ("kill",)
    if not any(name in fault_kinds for name in drill.ready_agents()):
        reasons = "; ".join(f"`{name}`: {why}" for name, why in report.left_out.items())
        found = f": {reasons}" if reasons else ", none is ready"
        message = f"no agent is eligible for random faults{found}"
        raise RefusedError(Fault("", "no-target", message, "`argosy status` shows their states"))
    return fault_kinds


def _inject_all(
    args: argparse.Namespace, drill: Drill, fault_kinds: dict[str, tuple[FaultKind, ...]], report: DrillReport
) -> None:
    for agent, kind in _named_faults(args):
        try:
            _inject(args, drill, agent, kind, report)
        except RefusedError as error:
            report.left_out[agent] = error.faults[0].message
            report.not_injected.append(agent)
    if fault_kinds:
        pause_s = (args.pause, args.pause) if args.pause else PAUSE_RANGE_S
        rng, seconds = random.Random(args.seed), 60.0 * (args.minutes or 1.0)
        for agent, kind in random_faults(drill, fault_kinds, seconds, rng, pause_s):
            _inject(args, drill, agent, kind, report)


def _inject(args: argparse.Namespace, drill: Drill, agent: str, kind: FaultKind, report: DrillReport) -> None:
    report.faults.append(drill.inject_fault(agent, kind, has_liveness=agent not in report.without_liveness))
    if not args.as_json:
        _print_fault(report.faults[-1])


def _agents_to_probe(args: argparse.Namespace, drill: Drill, state_dir: StateDir) -> list[str]:
    """Return the agents to probe: the named ones, then other running ones with argosy's protocol."""
    known = read_address_book(state_dir.address_book).agents
    running = [name for name, status in drill.fetch_status().agents.items() if status.pid and name in known]
    wire_agents = [name for name in running if isinstance(detect_protocol(name, state_dir), ArgosyWire)]
    named = [name for name in [*args.kill, *args.freeze] if name in wire_agents]
    return list(dict.fromkeys([*named, *wire_agents]))[:_MAX_PROBED]


def _print_fault(fault: DrillFault) -> None:
    parts = [f"{fault.kind:<6} {fault.agent} (pid {fault.pid}):"]
    if fault.noticed_ms is not None:
        by = f" ({fault.noticed})" if fault.noticed else ""
        parts.append(f"noticed after {fault.noticed_ms:.1f} ms{by},")
    if fault.recovered_ms is not None:
        parts.append(f"ready again after {fault.recovered_ms:.1f} ms")
    if fault.note:
        parts.append(paint(fault.note, "red"))
    print(" ".join(parts).rstrip(","), flush=True)


def _print_report(args: argparse.Namespace, report: DrillReport) -> None:
    restoration = report.restoration
    if args.as_json:
        print_json(
            {
                "argosy": "drill/1",
                "faults": msgspec.to_builtins(report.faults),
                "requests": msgspec.to_builtins(report.requests),
                "asked": list(report.probed),
                "left_out": report.left_out,
                "restored": restoration.restored,
                "not_restored": restoration.not_restored,
            }
        )
        return
    for name, why in report.left_out.items():
        print(f"left out {name}: {why}")
    _print_counts(report)
    _print_restoration(restoration)


def _print_counts(report: DrillReport) -> None:
    recovered, requests = sum(map(DrillFault.is_recovered, report.faults)), report.requests
    causes = ", ".join(f"{count} {name}" for name, count in sorted(requests.causes.items()))
    print(
        f"{format_count(len(report.faults), 'fault')}: {recovered} noticed and recovered, "
        f"{len(report.faults) - recovered} not; "
        f"{format_count(requests.sent, 'request')}: {requests.answered} answered, "
        f"{requests.failed_named} failed with a named error{f' ({causes})' if causes else ''}, "
        f"{requests.lost} lost"
    )


def _print_restoration(restoration: RestoreReport) -> None:
    """Print whether the fleet is as before, and which agents are not."""
    missing, restored_count = restoration.not_restored, len(restoration.restored)
    stopped = f"; stopped meanwhile: {', '.join(restoration.stopped)}" if restoration.stopped else ""
    total = restored_count + len(missing) + len(restoration.stopped)
    print(f"ready before: {format_count(total, 'agent')}; ready again: {restored_count}{stopped}", flush=True)
    for name, why in missing.items():
        print_note("error", f"`{name}` is not ready again: {why}")
    if missing:
        print_note("hint", f"`argosy logs {next(iter(missing))}`, `argosy restart {' '.join(missing)}`")
