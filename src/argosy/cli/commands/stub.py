"""Write typed peers of a fleet's agents, for editors and type checkers.

Reads the sources of `module:Class` agents and imports none. Agents import the file as a module:
`peer(self, "Translator").translate(text="hello")` is checked by name and type.

example: argosy stub -o peers.py
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from argosy.agent.stubs.handler_spec import find_handler_specs
from argosy.agent.stubs.stub_file import (
    FORMERLY_GENERATED_BY,
    GENERATED_BY,
    AgentService,
    render_stub,
)
from argosy.cli.arguments import add_fleet, parse_fleet
from argosy.cli.console import print_json, report_error
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet import Fleet, load_fleet
from argosy.fleet.fleet_spec import AgentSpec
from argosy.fleet.suggestions import unknown_name
from argosy.source.module_finder import ModuleFinder
from argosy.source.python_source import Unparsed
from argosy.source.symbol_resolver import SymbolResolver


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy stub`."""
    add_fleet(
        parser, positionals="[AGENT...]", positionals_help="the agents to write peers for (default: all)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write (default: print it)")


def run(args: argparse.Namespace) -> int:
    """Write the file; returns 1 if the source of an agent could not be read.

    Raises InputError: an unknown agent, or one that does not run a `module:Class`.
    """
    path, names = parse_fleet(args)
    fleet = load_fleet(path)
    chosen = _select_agents(fleet, names)
    root = os.path.dirname(fleet.path)
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    tree = SymbolResolver(ModuleFinder([root, *map(os.path.abspath, paths)]))
    specs, left_out, unreadable = _service_specs(tree, chosen)
    if not specs:
        message = "no agent of this fleet is a `module:Class`"
        raise RefusedError(
            *unreadable or [Fault(fleet.path, "no-class", message, "see docs/how-to/write-an-agent.md")]
        )
    text = render_stub(fleet.name, _command_line(args), tree, specs, left_out)
    if args.output:
        _write(Path(args.output), text)
    agents = [spec.agent for spec in specs]
    if args.as_json:
        print_json({"argosy": "stub/1", "agents": agents, "left_out": dict(left_out), "text": text})
    elif args.output:
        sys.stderr.write(f"{args.output}: {len(agents)} of {len(chosen)} agents\n")
    else:
        sys.stdout.write(text)
        sys.stdout.flush()
    if unreadable and not args.as_json:
        report_error(RefusedError(*unreadable), as_json=False)
    return 1 if unreadable else 0


def _select_agents(fleet: Fleet, names: Sequence[str]) -> list[AgentSpec]:
    faults = []
    for name in names:
        agent = fleet.agents.get(name)
        if agent is None:
            faults.append(unknown_name(name, "agent", name, fleet.agents))
        elif agent.kind != "class":
            message = f"`{name}` runs a {agent.kind}; only a `module:Class` has typed handlers"
            faults.append(Fault(agent.where, "no-class", message))
    if faults:
        raise InputError(*faults)
    wanted = set(names)
    return [agent for agent in fleet.agents.values() if not wanted or agent.name in wanted]


def _service_specs(
    tree: SymbolResolver, agents: Sequence[AgentSpec]
) -> tuple[list[AgentService], list[tuple[str, str]], list[Fault]]:
    """Return the services of the agents, the agents left out with the reason, and the faults among these."""
    specs, left_out, unreadable = [], [], []
    for agent in agents:
        if agent.kind != "class":
            left_out.append((agent.name, f"it runs a {agent.kind}"))
            continue
        target = str(agent.run)
        module, _, name = target.partition(":")
        cls = tree.find_class(module, name)
        if cls is None:
            fault = _unreadable_fault(tree, agent, module, name)
            unreadable.append(fault)
            left_out.append((agent.name, fault.message))
        else:
            specs.append(AgentService(agent.name, target, find_handler_specs(tree, cls)))
    return specs, left_out, unreadable


def _unreadable_fault(tree: SymbolResolver, agent: AgentSpec, module: str, name: str) -> Fault:
    parsed = tree.read(module)
    if isinstance(parsed, Unparsed):
        message = f"`{module}` does not parse: line {parsed.line}: {parsed.message}"
    elif parsed is None:
        message = f"there is no source of `{module}` next to the fleet file"
    else:
        message = f"there is no class `{name}` in `{module}`"
    return Fault(agent.where, "no-source", message, "`argosy check` shows more")


def _command_line(args: argparse.Namespace) -> str:
    arguments = ["argosy", "stub", *args.positionals]
    arguments += ["--fleet", args.fleet] if args.fleet else []
    return shlex.join([*arguments, *(["-o", args.output] if args.output else [])])


def _write(path: Path, text: str) -> None:
    """Write the file; replaces only a file that `argosy stub` wrote.

    Raises InputError: another file exists there, or the folder does not.
    """
    try:
        prefixes = (GENERATED_BY, FORMERLY_GENERATED_BY)
        if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(prefixes):
            hint = "give another file, or remove this one"
            raise InputError(Fault(str(path), "exists", f"`{path}` was not written by `argosy stub`", hint))
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(Fault(str(path), "unwritable", f"it cannot be written: {error.strerror}")) from error
