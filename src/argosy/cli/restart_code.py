"""What a restart has to know of the tree: who runs older code, and whose code could not start again."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from argosy.cli.report import paint
from argosy.cli.restart_elsewhere import afar, foretold
from argosy.engine.cellplan import hull_name
from argosy.engine.imprint import read_imprint
from argosy.engine.radius import radius_of
from argosy.engine.roster import read_roster
from argosy.engine.state import State
from argosy.fault import Fault, InputError
from argosy.fleet.load import load_fleet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from argosy.engine.folder import Folder
    from argosy.engine.messages import AgentStatus, Report


class Changed(NamedTuple):
    """What `--changed` is about.

    stale: agents with older code than the tree, with the files. down: those that ended by an error and whose
    code has not changed since, with the reason. told: what other machines foretell, by machine.
    """

    stale: dict[str, tuple[str, ...]]
    down: dict[str, str]
    told: dict[str, dict[str, Any]]


def find_changed(report: Report, path: Path, folder: Folder, names: list[str], *, is_here: bool) -> Changed:
    """Return which agents (of `names`, when there are any) were started with other code than the tree has.

    Those that run, and those that are down by an error: given up, ended with one, or about to be
    started again. is_here: of this machine alone. Raises InputError: there is no such agent here, or the
    fleet file is faulty.
    """
    from argosy.engine.staleness import stale_agents  # noqa: PLC0415 - reads sources

    agents = report.at_home()
    parts = [] if is_here else afar(report, names, is_all=not names)
    far = {name for part in parts for name in part.names}
    own = [name for name in names if name not in far]
    unknown = [name for name in own if name not in agents]
    if unknown:
        raise unknown_agents(unknown)
    asked = {name: agents[name] for name in (own if names else agents)}
    started = {name: at_s for name, agent in asked.items() if (at_s := _started_at(name, agent, folder))}
    stale = stale_agents(load_fleet(path), started, read_imprint(folder.imprint), os.environ)
    down = {name: agent.reason for name, agent in asked.items() if _is_down(agent) and name not in stale}
    told = foretold(folder, parts, ["--changed"])
    for each in told.values():
        stale |= {name: tuple(files) for name, files in each["changed"].items()}
        down |= each.get("down", {})
    return Changed(stale, down, told)


def _started_at(name: str, agent: AgentStatus, folder: Folder) -> float | None:
    """Return when the agent, or the last process of one that is down, was started, None for any other."""
    from argosy.engine.staleness import began_at, last_began_at  # noqa: PLC0415 - reads sources

    lease = folder.lease(hull_name(agent.cell) if agent.cell is not None else name)
    if agent.pid is not None:
        return began_at(agent.pid, lease)
    if _is_down(agent) or agent.state is State.RESTART_PENDING:
        return last_began_at(lease, agent.since_s)
    return None


def _is_down(agent: AgentStatus) -> bool:
    return agent.pid is None and (agent.state is State.GIVEN_UP or agent.has_failed)


def unknown_agents(names: Iterable[str]) -> InputError:
    """Return the error that no such agents run here."""
    hint = "`argosy status` lists them"
    return InputError(*(Fault(name, "unknown-agent", f"no agent `{name}` runs here", hint) for name in names))


def find_refused(report: Report, path: Path, folder: Folder, names: Iterable[str]) -> dict[str, Fault]:
    """Return the agents of this machine that are not to be restarted, with what is wrong.

    Their restart would end a process, their own or that of one that restarts with them, which by its code
    could not start again. Where the plan or the fleet file cannot be read, nothing is known.
    """
    from argosy.engine.flaws import find_flaws  # noqa: PLC0415 - reads sources

    roster = read_roster(folder)
    if roster is None:
        return {}
    processes = roster.plan.processes
    home = report.at_home()
    running = {name for name, agent in home.items() if agent.pid is not None and name in processes}
    touched = {
        name: [
            each.agent for each in radius_of([name], processes, running, {}).outages if each.agent in running
        ]
        for name in names
        if name in processes
    }
    commands = {each: processes[each].argv for group in touched.values() for each in group}
    flaws: Mapping[str, Fault] = {}
    with contextlib.suppress(InputError):  # the fleet file is being edited; what runs is another
        flaws = find_flaws(load_fleet(path), commands, os.environ) if commands else {}
    return {
        name: flaws[first]
        for name, group in touched.items()
        if (first := next((each for each in group if each in flaws), None)) is not None
    }


def refused_afar(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Fault]:
    """Return the agents that other machines foretell they would not restart."""
    return {name: Fault(**fault) for each in told.values() for name, fault in each.get("refused", {}).items()}


def show_refused(refused: Mapping[str, Fault]) -> None:
    """Print who is left as it is, and why."""
    for name, fault in refused.items():
        print(f"{paint('refused', 'red')}  {name}: {fault.where}: {fault.code} {fault.message}")
        if fault.hint:
            print(f"{paint('hint:', 'cyan')} {fault.hint}")
    if refused:
        is_one = len(refused) == 1
        are, them = ("runs on as it is", "it") if is_one else ("run on as they are", "them")
        print(f"{paint('hint:', 'cyan')} {_listed(refused)} {are}; `--anyway` restarts {them} all the same")


def show_down(down: Mapping[str, str]) -> None:
    """Print who is down although its code has not changed since it was started."""
    for name, reason in down.items():
        print(f"{paint('down', 'red')}  {name}: {reason}")
    if down:
        is_one = len(down) == 1
        whose, them = ("its", "it") if is_one else ("their", "them")
        print(
            f"{paint('hint:', 'cyan')} {whose} code has not changed since the last start; "
            f"`argosy restart {' '.join(down)}` starts {them} once more"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
