"""Checks a fleet before its start: its files, its commands, and the code that they run.

Nothing is started or imported. An error is one that every start meets when it gets there; a fault on a path
that only a run can choose is a warning.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from argosy.engine.explain.install_hint import describe_install
from argosy.engine.explain.option_check import find_option_mismatch
from argosy.engine.plan.agent_sources import assumed_sys_path, find_script_argument, pythonpath_entries
from argosy.engine.process.cgroup import available_controllers, find_delegated
from argosy.engine.process.descriptors import descriptor_shortage
from argosy.engine.process.env_file import read_env_file
from argosy.engine.process.resource_limits import hard_open_files_limit, unenforced_limits
from argosy.fault import Fault, InputError
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.fleet.locations import format_path
from argosy.fleet.suggestions import closest_match, suggest
from argosy.source import control_flow
from argosy.source.file_facts import FileFacts, FileFactsCache
from argosy.source.import_graph import ImportGraph, ImportStep, build_import_graph, build_module_import_graph
from argosy.source.module_finder import DirectoryListings, Module, ModuleFinder, is_installed
from argosy.source.python_source import Unparsed
from argosy.source.startup_check import StartupContext, StartupFinding, find_startup_findings
from argosy.source.symbol_resolver import SymbolResolver

_LEGACY_PACKAGES = ("argosy.agent.compat.", "argosy.agent.legacy.")


class PreflightReport(msgspec.Struct, frozen=True):
    """The result of checking a fleet.

    start_obstacles: agent to the first thing that prevents its start, in the order of its program.
    unparsed_agents: those whose own script does not parse. blocking_faults: `start_obstacles` as faults.
    """

    agents: int
    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    start_obstacles: dict[str, str]
    unparsed_agents: tuple[str, ...]
    blocking_faults: dict[str, Fault] = {}


class PreflightFinding(msgspec.Struct, frozen=True):
    """One fault of one agent. prevents_start: it cannot start. import_chain: the imports to the file."""

    agent: str
    fault: Fault
    is_error: bool = True
    prevents_start: bool = True
    import_chain: tuple[ImportStep, ...] = ()


def run_preflight(
    fleet: Fleet,
    *,
    variables: Mapping[str, str] = os.environ,
    is_package_installed: Callable[[str], bool] = is_installed,
    agent_names: Collection[str] | None = None,
    machines: Collection[str | None] | None = None,
) -> PreflightReport:
    """Return what is wrong with the programs of the agents of `fleet`, and which cannot start.

    variables: the environment that agents inherit (PATH, PYTHONPATH).
    is_package_installed: whether a top-level module is installed for the interpreter that runs argosy;
    agents with another `python` are not checked for packages. agent_names: the agents to check, None for
    all. machines: those of the fleet that this host is, None when unknown: then all may be.
    """
    scan = _PreflightScan(fleet, variables, is_package_installed)
    agents = [agent for agent in fleet.agents.values() if agent_names is None or agent.name in agent_names]
    findings = [finding for agent in agents for finding in scan.check_agent(agent)]
    errors, warnings = _merge_findings(findings)
    warnings += tuple(
        unenforced_limits(fleet, hard_open_files_limit(), available_controllers(find_delegated()))
    )
    own = [each for each in fleet.agents.values() if machines is None or each.machine in machines]
    if fault := descriptor_shortage(own):
        warnings += (fault,)
    blocking_faults: dict[str, Fault] = {}
    for finding in findings:
        if finding.prevents_start:
            blocking_faults.setdefault(finding.agent, finding.fault)
    obstacles = {name: f"{fault.message} ({fault.where})" for name, fault in blocking_faults.items()}
    return PreflightReport(
        len(agents), errors, warnings, obstacles, tuple(scan.unparsed_agents), blocking_faults
    )


class _PreflightScan:
    """One scan of a fleet; every file is read once for all agents."""

    def __init__(
        self, fleet: Fleet, variables: Mapping[str, str], is_package_installed: Callable[[str], bool]
    ) -> None:
        self.fleet = fleet
        self.root = os.path.dirname(fleet.path)
        self.variables = variables
        self.is_package_installed = is_package_installed
        self.facts_cache = FileFactsCache()
        self.listings = DirectoryListings()
        self.unparsed_agents: list[str] = []

    def check_agent(self, agent: AgentSpec) -> Iterator[PreflightFinding]:
        """Yield the faults of one agent, in the order in which its start would meet them."""
        env, faults = self.resolve_environment(agent)
        yield from (PreflightFinding(agent.name, fault) for fault in faults)
        cwd = os.path.join(self.root, agent.cwd or "")
        if not os.path.isdir(cwd):
            message = f"there is no directory `{format_path(cwd)}`"
            yield self.finding(agent, "cwd", "cwd-missing", message)
        yield from self.check_probe_commands(agent, env, cwd)
        if agent.kind == "command":
            yield from self.check_command(agent, env, cwd)
            return
        if agent.python is not None and _find_program(agent.python, env, cwd) is None:
            message = f"there is no interpreter `{agent.python}`"
            yield self.finding(agent, "python", "python-missing", message)
        inspect = self.check_class if agent.kind == "class" else self.check_script
        yield from inspect(agent, env, cwd)

    def resolve_environment(self, agent: AgentSpec) -> tuple[dict[str, str], list[Fault]]:
        """Return the variables that the agent would have, and the faults of its env_file."""
        env, faults = dict(self.variables), []
        if agent.env_file is not None:
            path = os.path.join(self.root, agent.env_file)
            try:
                env |= read_env_file(Path(path), self.location_of(agent, "env_file"))
            except InputError as error:
                faults = list(error.faults)
        return env | agent.env, faults

    def location_of(self, agent: AgentSpec, key: str) -> str:
        """Return the location of the agent's `key`; under `defaults` when it is set there."""
        locations = self.fleet.locations
        return locations.get(f"agents.{agent.name}.{key}") or locations.get(f"defaults.{key}") or agent.where

    def finding(
        self, agent: AgentSpec, key: str, code: str, message: str, hint: str = ""
    ) -> PreflightFinding:
        """Return a fault of the agent's `key`, which prevents its start."""
        return PreflightFinding(agent.name, Fault(self.location_of(agent, key), code, message, hint))

    def check_probe_commands(
        self, agent: AgentSpec, env: Mapping[str, str], cwd: str
    ) -> Iterator[PreflightFinding]:
        """Yield the missing commands of its exec probes."""
        for key, probe in (("ready", agent.ready), ("liveness", agent.liveness)):
            word = probe.command[0] if probe and probe.probe == "exec" and probe.command else None
            if word is not None and _find_program(word, env, cwd) is None:
                message = f"there is no command `{word}`, which the `{key}` probe runs"
                yield self.finding(agent, key, "command-missing", message)

    def check_command(self, agent: AgentSpec, env: Mapping[str, str], cwd: str) -> Iterator[PreflightFinding]:
        word = agent.run[0] if agent.run else ""
        program = _find_program(word, env, cwd)
        if program is None:
            hint = "" if "/" in word else "give its path, or add its directory to PATH under `env`"
            message = f"there is no command `{word}`" + ("" if "/" in word else " on PATH")
            yield self.finding(agent, "run", "command-missing", message, hint)
        script = find_script_argument(agent.run)
        if script is not None:
            yield from self.check_script_file(agent, os.path.join(cwd, script), env, cwd, program)

    def check_script(self, agent: AgentSpec, env: Mapping[str, str], cwd: str) -> Iterator[PreflightFinding]:
        path = os.path.join(self.root, str(agent.run))
        yield from self.check_script_file(agent, path, env, cwd, agent.python)

    def check_script_file(
        self, agent: AgentSpec, path: str, env: Mapping[str, str], cwd: str, python: str | None
    ) -> Iterator[PreflightFinding]:
        path = os.path.normpath(path)
        if not os.path.isfile(path):
            directory = os.path.dirname(path)
            nearest_name = closest_match(os.path.basename(path), list(self.listings.entries_of(directory)))
            hint = (
                f"did you mean `{format_path(os.path.join(directory, nearest_name))}`?"
                if nearest_name
                else ""
            )
            message = f"there is no script `{format_path(path)}`"
            yield self.finding(agent, "run", "script-missing", message, hint)
            return
        script_dir = os.path.dirname(os.path.realpath(path))
        finder = self.create_finder(
            [script_dir, *pythonpath_entries(env, cwd)], assumed_sys_path(path, self.root, self.facts_cache)
        )
        closure = build_import_graph(path, finder, self.facts_cache)
        yield from self.check_imports(agent, closure, finder, cwd, python)
        facts = closure.entry.facts
        if isinstance(facts, FileFacts):
            yield from _check_literal_port(agent, facts, is_alone=len(closure.nodes) == 1)

    def check_class(self, agent: AgentSpec, env: Mapping[str, str], cwd: str) -> Iterator[PreflightFinding]:
        name, _, class_name = str(agent.run).partition(":")
        finder = self.create_finder(
            [self.root, *([cwd] if agent.cwd else []), *pythonpath_entries(env, cwd)], []
        )
        module = finder.find(name)
        if module is not None and module.kind != "namespace":
            closure = build_module_import_graph(module, finder, self.facts_cache)
            yield from self.check_imports(agent, closure, finder, cwd, agent.python)
        elif (
            _is_same_python(agent.python)
            and module is None
            and self.is_package_installed(name.partition(".")[0])
        ):
            # An installed package is assumed correct: only the class is checked.
            module = self.create_finder(sys.path, []).find(name)
        elif _is_same_python(agent.python):
            nearest_name = self.nearest_module(name, finder)
            hint = f"did you mean `{nearest_name}`?" if nearest_name else ""
            message = f"there is no module `{name}` beside the fleet file or installed"
            yield self.finding(agent, "run", "S103", message, hint)
            return
        if module is not None and module.kind == "source":
            yield from self.check_class_exists(agent, module, class_name)
            if _is_same_python(agent.python):
                yield from self.check_options(agent, module, class_name, finder)
            if agent.cell is not None:
                yield from self.check_legacy_class(agent, module, class_name, finder)

    def nearest_module(self, name: str, finder: ModuleFinder) -> str:
        """Return a module of the tree with a similar name, part by part; empty when there is none."""
        found: list[str] = []
        for part in name.split("."):
            parent = finder.find(".".join(found)) if found else None
            directories = parent.folders if parent is not None else () if found else (self.root,)
            entries = [entry for folder in directories for entry in self.listings.entries_of(folder)]
            nearest_name = closest_match(part, [entry.removesuffix(".py") for entry in entries])
            if nearest_name is None:
                return ""
            found.append(nearest_name)
        nearest_name = ".".join(found)
        return nearest_name if finder.find(nearest_name) is not None else ""

    def check_class_exists(self, agent: AgentSpec, module: Module, name: str) -> Iterator[PreflightFinding]:
        facts = self.facts_cache.facts(module.path)
        if isinstance(facts, Unparsed) or facts.has_dynamic_names:
            return
        how = facts.names.get(name)
        if how is None:
            classes = [known for known, bound in facts.names.items() if bound == "class"]
            message = f"there is no class `{name}` in `{module.name}` ({format_path(module.path)})"
            hint = suggest(name, classes, "classes")
            yield self.finding(agent, "run", "class-missing", message, hint)
        elif how == "def":
            message = f"`{name}` in `{module.name}` is a function, expected a class"
            yield self.finding(agent, "run", "class-missing", message)

    def check_options(
        self, agent: AgentSpec, module: Module, name: str, finder: ModuleFinder
    ) -> Iterator[PreflightFinding]:
        """Yield a fault if the class certainly rejects the agent's `args`."""
        found = find_option_mismatch(SymbolResolver(finder), module.name, name, agent.args)
        if found is not None:
            key = "args" if found.argument_index is None else f"args.{found.argument_index}"
            fault = found.fault
            message = f"`{agent.name}` does not accept its `args`: {fault.message}"
            yield self.finding(agent, key if agent.args else "run", fault.code, message, fault.hint)

    def check_legacy_class(
        self, agent: AgentSpec, module: Module, name: str, finder: ModuleFinder
    ) -> Iterator[PreflightFinding]:
        """Yield a fault if the class is a legacy one, which cannot share a process."""
        tree = SymbolResolver(finder)
        found = tree.find_class(module.name, name)
        for cls in tree.base_chain(found) if found is not None else ():
            for base in filter(None, map(control_flow.dotted_name, cls.node.bases)):
                symbol = tree.resolve(cls.module, base)
                if symbol is not None and f"{symbol.module}.".startswith(_LEGACY_PACKAGES):
                    message = (
                        f"`{agent.name}` is in cell `{agent.cell}`, and `{agent.run}` is a legacy class "
                        f"(`{base}`, {cls.module}:{cls.node.lineno}), which cannot share a process"
                    )
                    hint = "remove `cell` from it, or base the class on `argosy.agent.Agent`"
                    yield self.finding(agent, "cell", "cell-legacy-class", message, hint)
                    return

    def describe_install(self, module: str) -> str:
        """Return how to install a module for the interpreter that runs argosy."""
        return describe_install(module, sys.executable, self.root)

    def create_finder(self, roots: Iterable[str], assumed_roots: Iterable[str]) -> ModuleFinder:
        return ModuleFinder(tuple(roots), tuple(assumed_roots), self.listings)

    def check_imports(
        self, agent: AgentSpec, closure: ImportGraph, finder: ModuleFinder, cwd: str, python: str | None
    ) -> Iterator[PreflightFinding]:
        if isinstance(closure.entry.facts, Unparsed):
            self.unparsed_agents.append(agent.name)
        installed = self.is_package_installed if _is_same_python(python) else None
        setting = StartupContext(finder, cwd, installed, format_path, self.describe_install)
        for finding in find_startup_findings(closure, setting):
            yield PreflightFinding(
                agent.name, _to_fault(finding), finding.is_certain, finding.is_certain, finding.import_chain
            )


def _to_fault(finding: StartupFinding) -> Fault:
    where = f"{format_path(finding.path)}:{finding.line}:{finding.column}"
    return Fault(where, finding.code, finding.message, finding.hint)


def _check_literal_port(agent: AgentSpec, facts: FileFacts, *, is_alone: bool) -> Iterator[PreflightFinding]:
    """Yield a fault if a script certainly uses a literal port that differs from the declared one.

    None if the script may take its port from elsewhere, or contains the declared one. A literal bind counts
    only in a script that imports no local file: a base class may bind more.
    """
    ports = [item for item in facts.ports.literals if is_alone or item.pattern != "bind"]
    numbers = {item.port for item in ports}
    if (
        agent.port is None
        or facts.ports.has_computed_ports
        or agent.port in facts.ports.numbers
        or len(numbers) != 1
    ):
        return
    words = [*agent.args, *(agent.run if isinstance(agent.run, tuple) else ()), *agent.env.values()]
    if agent.health_port in numbers or any(
        "port" in word.lower() or str(agent.port) in word for word in words
    ):
        return
    first = ports[0]
    message = f"`{agent.name}` is declared on port {agent.port}, but its script uses {first.port}"
    message += f" ({first.pattern})"
    hint = f"read ARGOSY_PORT in the script, or declare `port: {first.port}`"
    where = f"{format_path(facts.path)}:{first.line}:{first.column}"
    yield PreflightFinding(agent.name, Fault(where, "A404", message, hint), prevents_start=False)


def _find_program(word: str, env: Mapping[str, str], cwd: str) -> str | None:
    """Return the program that `word` names for a process in `cwd`, or None."""
    if "/" in word:
        return shutil.which(os.path.join(cwd, word))
    return shutil.which(word, path=env.get("PATH", os.defpath))


def _is_same_python(python: str | None) -> bool:
    return python is None or os.path.abspath(python) == sys.executable


def _merge_findings(findings: Iterable[PreflightFinding]) -> tuple[tuple[Fault, ...], tuple[Fault, ...]]:
    """Return errors and warnings; a fault that several agents share is reported once with their names."""
    groups: dict[tuple[str, str, str], list[PreflightFinding]] = {}
    for finding in findings:
        key = (finding.fault.where, finding.fault.code, finding.fault.message)
        groups.setdefault(key, []).append(finding)
    errors: list[Fault] = []
    warnings: list[Fault] = []
    for group in groups.values():
        target = errors if any(finding.is_error for finding in group) else warnings
        target.append(_shared_fault(group))
    return tuple(errors), tuple(warnings)


def _shared_fault(group: list[PreflightFinding]) -> Fault:
    fault = group[0].fault
    blocking = [finding for finding in group if finding.prevents_start]
    affected = blocking or group
    shortest = min(affected, key=lambda finding: len(finding.import_chain))
    if len(affected) == 1 and not shortest.import_chain:
        return fault
    names = _join_names([finding.agent for finding in affected])
    what = f"{'stops' if blocking else 'concerns'} {names}"
    if shortest.import_chain:
        steps = " -> ".join(f"{format_path(step.path)}:{step.line}" for step in shortest.import_chain)
        what += f"; `{shortest.agent}` gets here by {steps}"
    return msgspec.structs.replace(fault, message=f"{fault.message} ({what})")


def _join_names(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    shown = ", ".join(f"`{name}`" for name in unique[:3])
    more = f" and {len(unique) - 3} more" if len(unique) > 3 else ""
    return f"{len(unique)} agents: {shown}{more}" if len(unique) > 1 else shown
