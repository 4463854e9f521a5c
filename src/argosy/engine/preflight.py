"""What can be known about a fleet before its start: its files, its commands, and the code they lead to.

Nothing is started or imported. An error is what every start that gets there meets; what depends on
a path that only a run can choose is a warning.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from argosy.engine.cgroup import find_delegated, offered
from argosy.engine.descriptors import too_few
from argosy.engine.envfile import read_env_file
from argosy.engine.installing import install_hint
from argosy.engine.limits import hard_open_files, unheld
from argosy.engine.optioncheck import find_misfit
from argosy.engine.sources import assumed_folders, python_path, script_of
from argosy.fault import Fault, InputError
from argosy.fleet.places import displayed_path
from argosy.fleet.spec import AgentSpec, Fleet
from argosy.fleet.spelling import nearest, suggestion
from argosy.source import flow
from argosy.source.classes import Tree
from argosy.source.closure import Closure, Step, close, close_module
from argosy.source.facts import Facts, Library
from argosy.source.modules import Finder, Folders, Module, is_installed
from argosy.source.startup import Finding, Setting, find_findings
from argosy.source.text import Unparsed

_COMPAT = "argosy.agent.compat"


class Report(msgspec.Struct, frozen=True):
    """What a look at a fleet found.

    cannot_start: agent to the first thing that would stop it, in the order of its program.
    unparsed: the agents whose own script does not parse. stopping: `cannot_start` as faults.
    """

    agents: int
    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    cannot_start: dict[str, str]
    unparsed: tuple[str, ...]
    stopping: dict[str, Fault] = {}


class Note(msgspec.Struct, frozen=True):
    """One fault as one agent meets it. stops: the agent cannot start. way: the imports to the file."""

    agent: str
    fault: Fault
    is_error: bool = True
    stops: bool = True
    way: tuple[Step, ...] = ()


def preflight(
    fleet: Fleet,
    *,
    variables: Mapping[str, str] = os.environ,
    installed: Callable[[str], bool] = is_installed,
    only: Collection[str] | None = None,
    machines: Collection[str | None] | None = None,
) -> Report:
    """Return what is wrong with what the agents of `fleet` run, and who cannot start.

    variables: the environment that agents inherit (PATH, PYTHONPATH).
    installed: answers whether a top module is installed for the interpreter that runs argosy;
    agents with another `python` are not asked about packages. only: the agents to look at, None for all.
    machines: those of the fleet that this host is, None where that is not known: then all may be.
    """
    look = _Look(fleet, variables, installed)
    agents = [agent for agent in fleet.agents.values() if only is None or agent.name in only]
    notes = [note for agent in agents for note in look.at(agent)]
    errors, warnings = _merge(notes)
    warnings += tuple(unheld(fleet, hard_open_files(), offered(find_delegated())))
    own = [each for each in fleet.agents.values() if machines is None or each.machine in machines]
    if fault := too_few(own):
        warnings += (fault,)
    stopping: dict[str, Fault] = {}
    for note in notes:
        if note.stops:
            stopping.setdefault(note.agent, note.fault)
    stopped = {name: f"{fault.message} ({fault.where})" for name, fault in stopping.items()}
    return Report(len(agents), errors, warnings, stopped, tuple(look.unparsed), stopping)


class _Look:
    """One look at a fleet; every file is read once for all agents."""

    def __init__(self, fleet: Fleet, variables: Mapping[str, str], installed: Callable[[str], bool]) -> None:
        self.fleet = fleet
        self.root = os.path.dirname(fleet.path)
        self.variables = variables
        self.installed = installed
        self.library = Library()
        self.folders = Folders()
        self.unparsed: list[str] = []

    def at(self, agent: AgentSpec) -> Iterator[Note]:
        """Yield what is wrong with one agent, in the order in which its start would meet it."""
        env, faults = self.environment(agent)
        yield from (Note(agent.name, fault) for fault in faults)
        cwd = os.path.join(self.root, agent.cwd or "")
        if not os.path.isdir(cwd):
            where = self.place(agent, "cwd")
            yield Note(agent.name, Fault(where, "cwd-missing", f"there is no folder `{displayed_path(cwd)}`"))
        yield from self.probe_commands(agent, env, cwd)
        if agent.kind == "command":
            yield from self.command(agent, env, cwd)
            return
        if agent.python is not None and _which(agent.python, env, cwd) is None:
            message = f"there is no interpreter `{agent.python}`"
            yield Note(agent.name, Fault(self.place(agent, "python"), "python-missing", message))
        inspect = self.class_ if agent.kind == "class" else self.script
        yield from inspect(agent, env, cwd)

    def environment(self, agent: AgentSpec) -> tuple[dict[str, str], list[Fault]]:
        """Return the variables that the agent would have, and what is wrong with its env_file."""
        env, faults = dict(self.variables), []
        if agent.env_file is not None:
            path = os.path.join(self.root, agent.env_file)
            try:
                env |= read_env_file(Path(path), self.place(agent, "env_file"))
            except InputError as error:
                faults = list(error.faults)
        return env | agent.env, faults

    def place(self, agent: AgentSpec, key: str) -> str:
        """Return where `key` of the agent stands; under `defaults`, when it is from there."""
        places = self.fleet.places
        return places.get(f"agents.{agent.name}.{key}") or places.get(f"defaults.{key}") or agent.where

    def probe_commands(self, agent: AgentSpec, env: Mapping[str, str], cwd: str) -> Iterator[Note]:
        """Yield the commands of its exec probes that are not there."""
        for key, probe in (("ready", agent.ready), ("liveness", agent.liveness)):
            word = probe.command[0] if probe and probe.probe == "exec" and probe.command else None
            if word is not None and _which(word, env, cwd) is None:
                message = f"there is no command `{word}`, which the `{key}` probe runs"
                yield Note(agent.name, Fault(self.place(agent, key), "command-missing", message))

    def command(self, agent: AgentSpec, env: Mapping[str, str], cwd: str) -> Iterator[Note]:
        word = agent.run[0] if agent.run else ""
        program = _which(word, env, cwd)
        if program is None:
            hint = "" if "/" in word else "name it with its path, or add its folder to PATH under `env`"
            message = f"there is no command `{word}`" + ("" if "/" in word else " on PATH")
            yield Note(agent.name, Fault(self.place(agent, "run"), "command-missing", message, hint))
        script = script_of(agent.run)
        if script is not None:
            yield from self.read_script(agent, os.path.join(cwd, script), env, cwd, program)

    def script(self, agent: AgentSpec, env: Mapping[str, str], cwd: str) -> Iterator[Note]:
        path = os.path.join(self.root, str(agent.run))
        yield from self.read_script(agent, path, env, cwd, agent.python)

    def read_script(
        self, agent: AgentSpec, path: str, env: Mapping[str, str], cwd: str, python: str | None
    ) -> Iterator[Note]:
        path = os.path.normpath(path)
        if not os.path.isfile(path):
            folder = os.path.dirname(path)
            near = nearest(os.path.basename(path), list(self.folders.entries(folder)))
            hint = f"did you mean `{displayed_path(os.path.join(folder, near))}`?" if near else ""
            message = f"there is no script `{displayed_path(path)}`"
            yield Note(agent.name, Fault(self.place(agent, "run"), "script-missing", message, hint))
            return
        beside = os.path.dirname(os.path.realpath(path))
        finder = self.finder([beside, *python_path(env, cwd)], assumed_folders(path, self.root, self.library))
        closure = close(path, finder, self.library)
        yield from self.read_code(agent, closure, finder, cwd, python)
        facts = closure.entry.facts
        if isinstance(facts, Facts):
            yield from _differing_port(agent, facts, is_alone=len(closure.nodes) == 1)

    def class_(self, agent: AgentSpec, env: Mapping[str, str], cwd: str) -> Iterator[Note]:
        name, _, class_name = str(agent.run).partition(":")
        finder = self.finder([self.root, *([cwd] if agent.cwd else []), *python_path(env, cwd)], [])
        module = finder.find(name)
        if module is not None and module.kind != "namespace":
            closure = close_module(module, finder, self.library)
            yield from self.read_code(agent, closure, finder, cwd, agent.python)
        elif _is_same_python(agent.python) and module is None and self.installed(name.partition(".")[0]):
            # An installed package is taken as sound: only the class is looked for.
            module = self.finder(sys.path, []).find(name)
        elif _is_same_python(agent.python):
            yield Note(agent.name, self.missing_module(agent, name, finder))
            return
        if module is not None and module.kind == "source":
            yield from self.missing_class(agent, module, class_name)
            if _is_same_python(agent.python):
                yield from self.wrong_option(agent, module, class_name, finder)
            if agent.cell is not None:
                yield from self.old_class(agent, module, class_name, finder)

    def missing_module(self, agent: AgentSpec, name: str, finder: Finder) -> Fault:
        near = self.nearest_module(name, finder)
        message = f"there is no module `{name}` beside the fleet file or installed"
        hint = f"did you mean `{near}`?" if near else ""
        return Fault(self.place(agent, "run"), "S103", message, hint)

    def nearest_module(self, name: str, finder: Finder) -> str:
        """Return a module of the tree that is called almost so, part by part; empty when there is none."""
        found: list[str] = []
        for part in name.split("."):
            parent = finder.find(".".join(found)) if found else None
            folders = parent.folders if parent is not None else () if found else (self.root,)
            entries = [entry for folder in folders for entry in self.folders.entries(folder)]
            near = nearest(part, [entry.removesuffix(".py") for entry in entries])
            if near is None:
                return ""
            found.append(near)
        near = ".".join(found)
        return near if finder.find(near) is not None else ""

    def missing_class(self, agent: AgentSpec, module: Module, name: str) -> Iterator[Note]:
        facts = self.library.facts(module.path)
        if isinstance(facts, Unparsed) or facts.is_open:
            return
        where = self.place(agent, "run")
        how = facts.names.get(name)
        if how is None:
            classes = [known for known, bound in facts.names.items() if bound == "class"]
            message = f"there is no class `{name}` in `{module.name}` ({displayed_path(module.path)})"
            yield Note(
                agent.name, Fault(where, "class-missing", message, suggestion(name, classes, "classes"))
            )
        elif how == "def":
            message = f"`{name}` in `{module.name}` is a function, expected a class"
            yield Note(agent.name, Fault(where, "class-missing", message))

    def wrong_option(self, agent: AgentSpec, module: Module, name: str, finder: Finder) -> Iterator[Note]:
        """Yield that the class will not take the agent's `args`, where its source leaves no doubt."""
        found = find_misfit(Tree(finder), module.name, name, agent.args)
        if found is not None:
            key = "args" if found.at is None else f"args.{found.at}"
            fault = found.fault
            message = f"`{agent.name}` will not take its `args`: {fault.message}"
            where = self.place(agent, key if agent.args else "run")
            yield Note(agent.name, Fault(where, fault.code, message, fault.hint))

    def old_class(self, agent: AgentSpec, module: Module, name: str, finder: Finder) -> Iterator[Note]:
        """Yield that a class of the old kind cannot share a process: its signals and threads are its own."""
        tree = Tree(finder)
        found = tree.find_class(module.name, name)
        for cls in tree.lineage(found) if found is not None else ():
            for base in filter(None, map(flow.dotted, cls.node.bases)):
                place = tree.resolve(cls.module, base)
                if place is not None and f"{place.module}.".startswith(f"{_COMPAT}."):
                    message = (
                        f"`{agent.name}` is in cell `{agent.cell}`, and `{agent.run}` is of the old kind "
                        f"(`{base}`, {cls.module}:{cls.node.lineno}), which has its process to itself"
                    )
                    hint = "take `cell` from it, or write the class on `argosy.agent.Agent`"
                    yield Note(agent.name, Fault(self.place(agent, "cell"), "cell-old-class", message, hint))
                    return

    def offer(self, module: str) -> str:
        """Return how to install a module for the interpreter that runs argosy."""
        return install_hint(module, sys.executable, self.root)

    def finder(self, roots: Iterable[str], assumed: Iterable[str]) -> Finder:
        return Finder(tuple(roots), tuple(assumed), self.folders)

    def read_code(
        self, agent: AgentSpec, closure: Closure, finder: Finder, cwd: str, python: str | None
    ) -> Iterator[Note]:
        if isinstance(closure.entry.facts, Unparsed):
            self.unparsed.append(agent.name)
        installed = self.installed if _is_same_python(python) else None
        setting = Setting(finder, cwd, installed, displayed_path, self.offer)
        for finding in find_findings(closure, setting):
            yield Note(agent.name, _fault(finding), finding.is_certain, finding.is_certain, finding.way)


def _fault(finding: Finding) -> Fault:
    where = f"{displayed_path(finding.path)}:{finding.line}:{finding.column}"
    return Fault(where, finding.code, finding.message, finding.hint)


def _differing_port(agent: AgentSpec, facts: Facts, *, is_alone: bool) -> Iterator[Note]:
    """Yield the port that a script has as a literal, where it is surely another than the declared one.

    Silent as soon as the script may take its port from anywhere else, or names the declared one.
    A literal bind counts only in a script that imports no local file: a base class may bind more.
    """
    ports = [item for item in facts.ports.literals if is_alone or item.how != "bind"]
    numbers = {item.port for item in ports}
    if agent.port is None or facts.ports.is_open or agent.port in facts.ports.numbers or len(numbers) != 1:
        return
    words = [*agent.args, *(agent.run if isinstance(agent.run, tuple) else ()), *agent.env.values()]
    if agent.health_port in numbers or any(
        "port" in word.lower() or str(agent.port) in word for word in words
    ):
        return
    first = ports[0]
    message = (
        f"`{agent.name}` is declared on port {agent.port}, and its script takes {first.port} ({first.how})"
    )
    hint = f"read ARGOSY_PORT in the script, or declare `port: {first.port}`"
    where = f"{displayed_path(facts.path)}:{first.line}:{first.column}"
    yield Note(agent.name, Fault(where, "A404", message, hint), stops=False)


def _which(word: str, env: Mapping[str, str], cwd: str) -> str | None:
    """Return the program that `word` names for a process in `cwd`, or None."""
    if "/" in word:
        return shutil.which(os.path.join(cwd, word))
    return shutil.which(word, path=env.get("PATH", os.defpath))


def _is_same_python(python: str | None) -> bool:
    return python is None or os.path.abspath(python) == sys.executable


def _merge(notes: Iterable[Note]) -> tuple[tuple[Fault, ...], tuple[Fault, ...]]:
    """Return errors and warnings, a fault that several agents share told once with their names."""
    groups: dict[tuple[str, str, str], list[Note]] = {}
    for note in notes:
        groups.setdefault((note.fault.where, note.fault.code, note.fault.message), []).append(note)
    errors: list[Fault] = []
    warnings: list[Fault] = []
    for group in groups.values():
        (errors if any(note.is_error for note in group) else warnings).append(_shared_fault(group))
    return tuple(errors), tuple(warnings)


def _shared_fault(group: list[Note]) -> Fault:
    fault = group[0].fault
    stopped = [note for note in group if note.stops]
    touched = stopped or group
    shortest = min(touched, key=lambda note: len(note.way))
    if len(touched) == 1 and not shortest.way:
        return fault
    names = _listed([note.agent for note in touched])
    what = f"{'stops' if stopped else 'concerns'} {names}"
    if shortest.way:
        steps = " -> ".join(f"{displayed_path(step.path)}:{step.line}" for step in shortest.way)
        what += f"; `{shortest.agent}` gets here by {steps}"
    return msgspec.structs.replace(fault, message=f"{fault.message} ({what})")


def _listed(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    shown = ", ".join(f"`{name}`" for name in unique[:3])
    more = f" and {len(unique) - 3} more" if len(unique) > 3 else ""
    return f"{len(unique)} agents: {shown}{more}" if len(unique) > 1 else shown
