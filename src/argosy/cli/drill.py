"""Kill and freeze agents of a running fleet on purpose, and tell what came of it.

Each fault is sent to one agent's process; then it is told when the supervisor noticed, and when the
agent was ready again. Meanwhile agents are asked for their health all the time, and every request is
accounted for: answered, failed by a named error, or lost. Without --kill and --freeze agents are struck
at random, one after the other, for --minutes; frozen are then only those whose `liveness` ends them.
What noticed it is told too: of an agent without a `liveness` its silence, which restarts nothing.

Only agents that are ready are struck. A restart that a drill causes counts towards no restart limit.
A frozen process goes on as soon as it was noticed, at the end, at Ctrl-C, and when the drill is killed.
At the end the fleet is as it was: what does not come back by itself is started, what cannot be is named.
In the production environment nothing is struck at random.

Exit code 1: a fault was not noticed, an agent did not recover or is not ready at the end, or a request
was lost.

example: argosy drill --kill Translator --freeze Memory
"""

from __future__ import annotations

import contextlib
import random
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.cli.arguments import add_fleet, environment_name, take_fleet
from argosy.cli.report import paint, print_json
from argosy.engine.drill import LULL_S, Drill, Kind, Restoration, Strike, at_random
from argosy.engine.drillload import Load, Requests
from argosy.engine.folder import folder_of
from argosy.engine.protocol import Wire, protocol_of
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.load import load_fleet
from argosy.fleet.units import counted
from argosy.wire.book import read_book

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from argosy.engine.folder import Folder
    from argosy.fleet.spec import Fleet

_MOST_ASKED = 8
_INTERRUPTED = 130
_PRODUCTION = "production"


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
        "--pause",
        metavar="S",
        type=float,
        default=None,
        help="seconds between two faults at random (default: from 0.5 to 2)",
    )
    parser.add_argument(
        "--within",
        metavar="S",
        type=float,
        default=30.0,
        help="how long it may take until a fault is noticed, until the agent is ready again, "
        "and at the end until all are (default 30)",
    )
    parser.add_argument("--seed", type=int, default=None, help="the same chance again")
    parser.add_argument(
        "--yes", action="store_true", help="strike who is named also in the production environment"
    )


class _Account(msgspec.Struct):
    """What a drill has done. left_out: agents that were not struck, with the reason.

    failed: agents that were named and could not be struck. unwatched: agents without a `liveness`.
    is_cut: Ctrl-C has ended it.
    """

    strikes: list[Strike] = []
    requests: Requests = msgspec.field(default_factory=Requests)
    asked: tuple[str, ...] = ()
    left_out: dict[str, str] = {}
    failed: list[str] = []
    unwatched: frozenset[str] = frozenset()
    restoration: Restoration = Restoration([], {}, [])
    is_cut: bool = False

    def is_well(self) -> bool:
        """Return whether everything was noticed and is back, and no request was lost."""
        is_back = not (self.failed or self.restoration.not_restored)
        return is_back and all(map(Strike.is_well, self.strikes)) and not self.requests.lost


def run(args: argparse.Namespace) -> int:
    """Strike; returns 0 when all was noticed, all recovered and no request was lost."""
    path, _ = take_fleet(args)
    _check_times(args)
    fleet = load_fleet(path)
    folder = folder_of(path)
    account = _Account(unwatched=frozenset(n for n, each in fleet.agents.items() if not each.liveness))
    with Drill(folder, args.within, str(path)) as drill:
        _check_environment(args, path, drill)
        for agent, kind in _named(args):
            drill.check(agent, kind)
        ways = _ways(drill, fleet, account) if _is_random(args) else {}
        ready = drill.ready()
        load = Load(folder.book, _asked(args, drill, folder))
        account.asked = load.targets
        try:
            _strike_all(args, drill, ways, account)
        except KeyboardInterrupt:
            account.is_cut = True
        finally:
            with contextlib.suppress(KeyboardInterrupt):
                drill.thaw()
                account.requests = load.end()
        account.restoration = drill.restore(ready)
    _tell(args, account)
    if account.is_cut:
        return _INTERRUPTED
    return 0 if account.is_well() else 1


def _check_times(args: argparse.Namespace) -> None:
    for name in ("minutes", "pause", "within"):
        if getattr(args, name) is not None and not 0 < getattr(args, name) < 1e6:
            message = f"{getattr(args, name)} is no time to wait"
            raise InputError(Fault(f"--{name}", "usage", message, "give a number above 0"))


def _check_environment(args: argparse.Namespace, path: Path, drill: Drill) -> None:
    """Raises InputError: it is production, and not everyone is named; RefusedError: `--yes` is missing."""
    if _PRODUCTION not in (drill.agents().environment, environment_name(args)):
        return
    message = "this is the production environment"
    if _is_random(args):
        hint = "name whom to strike: `argosy drill --kill AGENT --yes`"
        words = f"{message}, in which nothing is struck at random"
        raise InputError(Fault(str(path), "production", words, hint))
    if not args.yes:
        hint = "`--yes` strikes who is named all the same"
        raise RefusedError(Fault(str(path), "production", message, hint))


def _is_random(args: argparse.Namespace) -> bool:
    return args.minutes is not None or not _named(args)


def _named(args: argparse.Namespace) -> list[tuple[str, Kind]]:
    named: list[tuple[str, Kind]] = [(agent, "kill") for agent in args.kill]
    return [*named, *((agent, "freeze") for agent in args.freeze)]


def _ways(drill: Drill, fleet: Fleet, account: _Account) -> dict[str, tuple[Kind, ...]]:
    """Return who may be struck at random, and how; note who is left out.

    Raises RefusedError: nobody may.
    """
    home = drill.agents().at_home()
    ways: dict[str, tuple[Kind, ...]] = {}
    for name, agent in fleet.agents.items():
        if name not in home:
            account.left_out[name] = "it does not run on this machine"
        elif agent.restart == "never":
            account.left_out[name] = "`restart: never`: it would not come back"
        else:
            ways[name] = ("kill", "freeze") if agent.liveness else ("kill",)
    if not any(name in ways for name in drill.ready()):
        reasons = "; ".join(f"`{name}`: {why}" for name, why in account.left_out.items())
        message = "no agent can be struck at random" + (f": {reasons}" if reasons else ", none is ready")
        raise RefusedError(Fault("", "nobody", message, "`argosy status` shows how they are"))
    return ways


def _strike_all(
    args: argparse.Namespace, drill: Drill, ways: dict[str, tuple[Kind, ...]], account: _Account
) -> None:
    for agent, kind in _named(args):
        try:
            _strike(args, drill, agent, kind, account)
        except RefusedError as error:
            account.left_out[agent] = error.faults[0].message
            account.failed.append(agent)
    if ways:
        lull_s = (args.pause, args.pause) if args.pause else LULL_S
        chance, seconds = random.Random(args.seed), 60.0 * (args.minutes or 1.0)
        for agent, kind in at_random(drill, ways, seconds, chance, lull_s):
            _strike(args, drill, agent, kind, account)


def _strike(args: argparse.Namespace, drill: Drill, agent: str, kind: Kind, account: _Account) -> None:
    account.strikes.append(drill.strike(agent, kind, is_watched=agent not in account.unwatched))
    if not args.as_json:
        _show(account.strikes[-1])


def _asked(args: argparse.Namespace, drill: Drill, folder: Folder) -> list[str]:
    """Return whom to ask: those that are named, then others that have a process, and speak the wire."""
    known = read_book(folder.book).agents
    running = [name for name, status in drill.agents().agents.items() if status.pid and name in known]
    here = [name for name in running if isinstance(protocol_of(name, folder), Wire)]
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


def _tell(args: argparse.Namespace, account: _Account) -> None:
    restoration = account.restoration
    if args.as_json:
        told: dict[str, Any] = {
            "argosy": "drill/1",
            "faults": [msgspec.to_builtins(strike) for strike in account.strikes],
            "requests": msgspec.to_builtins(account.requests),
            "asked": list(account.asked),
            "left_out": account.left_out,
            "restored": restoration.restored,
            "not_restored": restoration.not_restored,
        }
        print_json(told)
        return
    for name, why in account.left_out.items():
        print(f"left out {name}: {why}")
    _tell_counts(account)
    _tell_restoration(restoration)


def _tell_counts(account: _Account) -> None:
    well, requests = sum(map(Strike.is_well, account.strikes)), account.requests
    causes = ", ".join(f"{count} {name}" for name, count in sorted(requests.causes.items()))
    print(
        f"{counted(len(account.strikes), 'fault')}: {well} noticed and recovered, "
        f"{len(account.strikes) - well} not; "
        f"{counted(requests.sent, 'request')}: {requests.answered} answered, "
        f"{requests.failed_named} failed by name{f' ({causes})' if causes else ''}, {requests.lost} lost"
    )


def _tell_restoration(restoration: Restoration) -> None:
    """Say whether the fleet is as it was, and name what is not."""
    missing, back = restoration.not_restored, len(restoration.restored)
    stopped = f"; stopped meanwhile: {', '.join(restoration.stopped)}" if restoration.stopped else ""
    total = back + len(missing) + len(restoration.stopped)
    print(f"ready before: {counted(total, 'agent')}; ready again: {back}{stopped}", flush=True)
    for name, why in missing.items():
        sys.stderr.write(f"{paint('error:', 'red', sys.stderr)} `{name}` is not ready again: {why}\n")
    if missing:
        hint = f"`argosy logs {next(iter(missing))}`, `argosy restart {' '.join(missing)}`"
        sys.stderr.write(f"{paint('hint:', 'cyan', sys.stderr)} {hint}\n")
