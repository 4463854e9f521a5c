"""Kill and freeze agents of a running fleet on purpose, and tell what came of it.

Each fault is sent to one agent's process; then it is told when the supervisor noticed, and when the
agent was ready again. Meanwhile agents are asked for their health all the time, and every request is
accounted for: answered, failed by a named error, or lost. Without --kill and --freeze agents are struck
at random, one after the other, for --minutes; frozen are then only those whose `liveness` ends them.
What noticed it is told too: of an agent without a `liveness` its silence, which restarts nothing.
A frozen process goes on as soon as it was noticed, at the end, and at Ctrl-C.

Exit code 1: a fault was not noticed, an agent did not recover, or a request was lost.

example: argosy drill --kill Translator --freeze Memory
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.cli.arguments import add_fleet, environment_name, take_fleet
from argosy.cli.report import paint, print_json
from argosy.engine.drill import Drill, Kind, Strike, at_random
from argosy.engine.drillload import Load, Requests
from argosy.engine.folder import folder_of
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.load import load_fleet
from argosy.wire.book import read_book

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from argosy.engine.folder import Folder
    from argosy.fleet.spec import Fleet

_MOST_ASKED = 8
_INTERRUPTED = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy drill`."""
    add_fleet(parser)
    parser.add_argument(
        "--kill", metavar="A", action="append", default=[], help="kill this agent; repeatable"
    )
    parser.add_argument(
        "--freeze", metavar="A", action="append", default=[], help="freeze this agent (SIGSTOP); repeatable"
    )
    parser.add_argument(
        "--minutes", metavar="M", type=float, default=None, help="strike at random for M minutes (default 1)"
    )
    parser.add_argument(
        "--within",
        metavar="S",
        type=float,
        default=30.0,
        help="how long it may take until a fault is noticed, and until the agent is ready again (default 30)",
    )
    parser.add_argument("--seed", type=int, default=None, help="the same chance again")
    parser.add_argument("--yes", action="store_true", help="also in the production environment")


def run(args: argparse.Namespace) -> int:
    """Strike; returns 0 when all was noticed, all recovered and no request was lost."""
    path, _ = take_fleet(args)
    for name in ("minutes", "within"):
        if getattr(args, name) is not None and not 0 < getattr(args, name) < 1e6:
            message = f"{getattr(args, name)} is no time to wait"
            raise InputError(Fault(f"--{name}", "usage", message, "give a number above 0"))
    fleet = load_fleet(path)
    folder = folder_of(path)
    strikes: list[Strike] = []
    account = Requests()
    is_cut = False
    with Drill(folder, args.within, str(path)) as drill:
        environment = drill.agents().environment or environment_name(args)
        if environment == "production" and not args.yes:
            message = "this fleet runs in the production environment"
            raise RefusedError(Fault(str(path), "production", message, "`--yes` strikes it all the same"))
        load = Load(folder.book, _asked(args, drill, folder))
        try:
            for agent, kind in _plan(args, drill, fleet):
                strikes.append(drill.strike(agent, kind, is_watched=_is_watched(fleet, agent)))
                if not args.as_json:
                    _show(strikes[-1])
        except KeyboardInterrupt:
            is_cut = True
        finally:
            with contextlib.suppress(KeyboardInterrupt):
                drill.thaw()
                account = load.end()
    _tell(args, path, strikes, account, load.targets)
    if is_cut:
        return _INTERRUPTED
    return 0 if all(map(Strike.is_well, strikes)) and not account.lost else 1


def _plan(args: argparse.Namespace, drill: Drill, fleet: Fleet) -> Iterable[tuple[str, Kind]]:
    named: list[tuple[str, Kind]] = [(agent, "kill") for agent in args.kill]
    named += [(agent, "freeze") for agent in args.freeze]
    yield from named
    if args.minutes is None and named:
        return
    home = drill.agents().at_home()
    ways: dict[str, tuple[Kind, ...]] = {
        name: ("kill", "freeze") if agent.liveness else ("kill",)
        for name, agent in fleet.agents.items()
        if agent.restart != "never" and name in home
    }
    yield from at_random(drill, ways, 60.0 * (args.minutes or 1.0), random.Random(args.seed))


def _is_watched(fleet: Fleet, agent: str) -> bool:
    spec = fleet.agents.get(agent)
    return spec is None or spec.liveness is not None


def _asked(args: argparse.Namespace, drill: Drill, folder: Folder) -> list[str]:
    """Return whom to ask: those that are named, then others that have a process, and an address."""
    known = read_book(folder.book).agents
    here = [name for name, status in drill.agents().agents.items() if status.pid and name in known]
    named = [name for name in [*args.kill, *args.freeze] if name in here]
    return list(dict.fromkeys([*named, *here]))[:_MOST_ASKED]


def _show(strike: Strike) -> None:
    words = [f"{strike.kind:<6} {strike.agent} (pid {strike.pid}):"]
    if strike.noticed_ms is not None:
        by = f" ({strike.noticed})" if strike.noticed else ""
        words.append(f"noticed after {strike.noticed_ms:.1f} ms{by},")
    if strike.recovered_ms is not None:
        words.append(f"ready again after {strike.recovered_ms:.1f} ms")
    if strike.note:
        words.append(paint(strike.note, "red"))
    print(" ".join(words).rstrip(","), flush=True)


def _tell(
    args: argparse.Namespace, path: Path, strikes: list[Strike], account: Requests, asked: Iterable[str]
) -> None:
    if args.as_json:
        told: dict[str, Any] = {
            "argosy": "drill/1",
            "faults": [msgspec.to_builtins(strike) for strike in strikes],
            "requests": msgspec.to_builtins(account),
            "asked": list(asked),
        }
        print_json(told)
        return
    well = sum(map(Strike.is_well, strikes))
    causes = ", ".join(f"{count} {name}" for name, count in sorted(account.causes.items()))
    print(
        f"{len(strikes)} faults: {well} noticed and recovered, {len(strikes) - well} not; "
        f"{account.sent} requests: {account.answered} answered, {account.failed_named} failed by name"
        f"{f' ({causes})' if causes else ''}, {account.lost} lost"
    )
