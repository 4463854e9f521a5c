"""The agents of the fleet file as programs of the tree: what each loads, whom it speaks to; made of facts."""

from __future__ import annotations

import os

from msgspec.structs import replace

from argosy.engine.sources import Shelf, Sources
from argosy.fleet.spec import AgentSpec, Fleet
from argosy.refit.facts.imports import IMPORTS
from argosy.refit.facts.modules import library
from argosy.refit.facts.speech import SPEECH
from argosy.refit.finding import Finding
from argosy.refit.tree import Tree
from argosy.refit.written import Written, read_speech, written_edges
from argosy.source.facts import Facts, Library, read_facts
from argosy.source.mentions import Speech
from argosy.source.text import Unparsed


def fleet_of(tree: Tree) -> Fleet:
    """Return the fleet that the tree is audited with. Raises LookupError: there is none."""
    if tree.fleet is None:
        raise LookupError("a rule that compares with a fleet file was asked without one")
    return tree.fleet


def fleet_finding(tree: Tree, where: str, message: str, *, symbol: str, hint: str = "") -> Finding:
    """Return a finding in the fleet file. where: `file:line:column`, as fleets and faults tell places."""
    _, line, column = where.rsplit(":", 2)
    path = tree.relative(os.path.realpath(fleet_of(tree).path))
    return Finding(path, int(line), int(column), "", message, symbol=symbol, hint=hint)


class _KeptShelf(Shelf):
    """A shelf that finds the sources of each agent once: several rules ask for them."""

    def __init__(self, root: str, library: Library) -> None:
        super().__init__(root, {}, library=library)
        self._found: dict[str, Sources] = {}

    def sources_of(self, agent: AgentSpec) -> Sources:
        if agent.name not in self._found:
            self._found[agent.name] = super().sources_of(agent)
        return self._found[agent.name]


def shelf(tree: Tree) -> Shelf:
    """Return what tells the files of each agent; those that are not of the tree are read."""
    outlines = tree.derived(library)
    known = set(tree.paths)

    def read(path: str) -> Facts | Unparsed:
        relative = path_in(tree, path)
        if relative in tree.unparsed:
            return tree.unparsed[relative]
        if relative not in known:
            return read_facts(path)
        facts = outlines.facts(os.path.join(tree.root, relative))
        held = tree.fact(IMPORTS, relative)
        if held is None or isinstance(facts, Unparsed):
            return facts
        return replace(facts, imports=held.imports, additions=held.additions)

    return _KeptShelf(os.path.dirname(fleet_of(tree).path), Library(read))


def written(tree: Tree) -> Written:
    """Return the edges that the agents' sources state."""
    known = set(tree.paths)

    def read(path: str) -> Speech | None:
        relative = path_in(tree, path)
        if relative in known or relative in tree.unparsed:
            return tree.fact(SPEECH, relative)
        return read_speech(path)

    return written_edges(fleet_of(tree), {}, tree.derived(shelf), read)


def path_in(tree: Tree, path: str) -> str:
    """Return a path as the tree has it: relative to its root, links followed."""
    known = tree.derived(_real_paths)
    if path not in known:
        known[path] = tree.relative(os.path.realpath(path))
    return known[path]


def _real_paths(tree: Tree) -> dict[str, str]:
    """Return where paths lead that were asked for: to follow one asks the disk about each of its folders."""
    return {}
