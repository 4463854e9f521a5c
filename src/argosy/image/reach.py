"""What each agent is made of: its files, the packages that these import, and where.

A script that does not parse still wants its packages: its lines are read for imports, and the agent is told
as unread, since lines are no proof.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import msgspec

from argosy.engine.sources import Shelf, Sources
from argosy.fleet.spec import AgentSpec, Fleet
from argosy.source.closure import Closure, External, Reach
from argosy.source.facts import Facts, Library, read_outline
from argosy.source.importlines import scan_imports
from argosy.source.imports import When
from argosy.source.ports import Ports
from argosy.source.syspath import Additions
from argosy.source.text import Source, Unparsed, read_source


class Use(msgspec.Struct, frozen=True, order=True):
    """One import of a package from outside.

    module: the dotted name. path, line: where, relative to the fleet file's folder. when: under which
    circumstances it runs; empty: whenever the agent starts. way: the `path:line` of each import that leads
    to the file.
    """

    module: str
    path: str
    line: int
    when: tuple[str, ...] = ()
    way: tuple[str, ...] = ()

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


class Reached(msgspec.Struct, frozen=True):
    """What one agent is made of.

    files: paths relative to the fleet file's folder, its own first. uses: one for each module and file.
    unread: why what it imports is known in part only; empty when all was read.
    """

    agent: str
    files: tuple[str, ...]
    uses: tuple[Use, ...]
    unread: str = ""


def reach_fleet(fleet: Fleet, variables: Mapping[str, str] | None = None) -> dict[str, Reached]:
    """Return what each agent of the fleet is made of, by name.

    variables: what an image gives its agents (PYTHONPATH matters). Never raises: what cannot be read is told.
    """
    root = os.path.dirname(fleet.path)
    reader = _Reader()
    shelf = Shelf(root, variables or {}, library=Library(reader.read))
    return {name: _of_agent(agent, fleet, shelf, reader, root) for name, agent in fleet.agents.items()}


class _Reader:
    """Reads files; one that does not parse is read by its lines, and remembered."""

    def __init__(self) -> None:
        self.failed: dict[str, Unparsed] = {}

    def read(self, path: str) -> Facts | Unparsed:
        facts = read_outline(path)
        if isinstance(facts, Facts):
            return facts
        self.failed[path] = facts
        source = read_source(path)
        return _by_lines(source) if isinstance(source, Source) else facts


def _by_lines(source: Source) -> Facts:
    return Facts(
        path=source.path,
        imports=scan_imports(source.text()),
        names={},
        is_open=True,
        undefined=(),
        early=(),
        early_as_main=(),
        additions=Additions((), is_complete=False),
        ports=Ports((), frozenset(), True),
    )


def _of_agent(agent: AgentSpec, fleet: Fleet, shelf: Shelf, reader: _Reader, root: str) -> Reached:
    sources = shelf.sources_of(agent)
    files = [path for path in sources.files() if os.path.isfile(path)]
    uses = _uses(sources.closure, root) if sources.closure is not None else _of_installed(agent, fleet)
    return Reached(
        agent=agent.name,
        files=tuple(_relative(path, root) for path in files if _is_below(path, root)),
        uses=uses,
        unread=_unread(agent, sources, reader, root),
    )


def _of_installed(agent: AgentSpec, fleet: Fleet) -> tuple[Use, ...]:
    """Return the module of a class that is not in the tree: the fleet file itself is who imports it."""
    if agent.kind != "class":
        return ()
    place = fleet.places.get(f"agents.{agent.name}.run", agent.where)
    path, line, _ = place.rsplit(":", 2)
    return (Use(str(agent.run).partition(":")[0], os.path.basename(path), int(line)),)


def _unread(agent: AgentSpec, sources: Sources, reader: _Reader, root: str) -> str:
    if agent.kind == "command" and sources.closure is None:
        return f"runs the command `{agent.run[0] if agent.run else ''}`, which is no script of Python"
    if sources.closure is None:
        return f"`{agent.run}` is of an installed package" if agent.kind == "class" else "there is no script"
    if agent.kind != "class" and not _is_below(sources.closure.entry.path, root):
        return f"`{sources.closure.entry.path}` is outside of the fleet file's folder, and in no image"
    if agent.kind != "class" and not os.path.isfile(sources.closure.entry.path):
        return f"there is no script `{_relative(sources.closure.entry.path, root)}`"
    failed = [reader.failed[path] for path in sources.closure.nodes if path in reader.failed]
    if not failed:
        return ""
    first = failed[0]
    place = f"{_relative(first.path, root)}:{first.line}:{first.column}"
    how = {"read": "", "parse": "does not parse: ", "compile": "does not compile: "}[first.stage]
    more = f", and {len(failed) - 1} more of its files" if len(failed) > 1 else ""
    return f"{place}: {how}{first.message}{more}"


def _uses(closure: Closure, root: str) -> tuple[Use, ...]:
    """Return the surest import of each module in each file."""
    surest: dict[tuple[str, str], External] = {}
    for item in closure.external:
        key = (item.item.module, item.node.path)
        known = surest.get(key)
        if known is None or (item.reach, item.item.line) < (known.reach, known.item.line):
            surest[key] = item
    return tuple(sorted(_use(item, root) for item in surest.values()))


def _use(item: External, root: str) -> Use:
    way = tuple(f"{_relative(step.path, root)}:{step.line}" for step in item.node.way)
    return Use(
        item.item.module, _relative(item.node.path, root), item.item.line, tuple(_circumstances(item)), way
    )


def _circumstances(item: External) -> Iterator[str]:
    when = set(item.item.when)
    if item.node.reach is Reach.PERHAPS and not when & {When.LAZY, When.CONDITIONAL, When.PLATFORM}:
        when.add(When.LAZY)
    if item.node.reach is Reach.GUARDED:
        when.add(When.GUARDED)
    yield from sorted(str(word) for word in when)


def _is_below(path: str, root: str) -> bool:
    return path.startswith(root + os.sep)


def _relative(path: str, root: str) -> str:
    return os.path.relpath(path, root) if _is_below(path, root) else path
