"""The agents of the fleet file as programs of the tree: what each loads, whom it speaks to; made of facts."""

from __future__ import annotations

import os

from msgspec.structs import replace

from argosy.engine.sources import Shelf
from argosy.fleet.spec import Fleet
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

    return Shelf(os.path.dirname(fleet_of(tree).path), {}, library=Library(read))


def written(tree: Tree) -> Written:
    """Return the edges that the agents' sources state."""
    known = set(tree.paths)

    def read(path: str) -> Speech | None:
        relative = path_in(tree, path)
        return tree.fact(SPEECH, relative) if relative in known else read_speech(path)

    return written_edges(fleet_of(tree), {}, tree.derived(shelf), read)


def path_in(tree: Tree, path: str) -> str:
    """Return a path as the tree has it: relative to its root, links followed."""
    return tree.relative(os.path.realpath(path))
