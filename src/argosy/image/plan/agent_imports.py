"""The files of each agent, the packages that they import, and where.

A script that does not parse is scanned for import lines, and the agent is reported as unread, since such a
scan may miss imports.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from argosy.engine.plan.agent_sources import AgentSourceCache, AgentSources
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.source.file_facts import FileFacts, FileFactsCache, read_imports_only
from argosy.source.import_graph import ExternalImport, ImportGraph, LoadCertainty
from argosy.source.import_statements import ImportCondition, scan_imports
from argosy.source.literal_ports import LiteralPorts
from argosy.source.python_source import SourceText, Unparsed, read_source
from argosy.source.sys_path import PathAdditions


class PackageUse(msgspec.Struct, frozen=True, order=True):
    """One import of an external package.

    module: the dotted name. path, line: where, relative to the fleet file's folder. conditions: when the
    import runs; empty: on every start of the agent. import_chain: the `path:line` of each import that leads
    to the file.
    """

    module: str
    path: str
    line: int
    conditions: tuple[str, ...] = ()
    import_chain: tuple[str, ...] = ()

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


class AgentImports(msgspec.Struct, frozen=True):
    """The files and imports of one agent.

    files: paths relative to the fleet file's folder, the entry file first. uses: one for each module and
    file. unread: why only a part of its imports is known; empty when all files were read.
    """

    agent: str
    files: tuple[str, ...]
    uses: tuple[PackageUse, ...]
    unread: str = ""


def find_agent_imports(fleet: Fleet) -> dict[str, AgentImports]:
    """Return the files and imports of each agent; never raises for files: see `AgentImports.unread`."""
    root = os.path.dirname(fleet.path)
    reader = _OutlineReader()
    source_cache = AgentSourceCache(root, {}, facts_cache=FileFactsCache(reader.read))
    return {
        name: _imports_of_agent(agent, fleet, source_cache, reader, root)
        for name, agent in fleet.agents.items()
    }


class _OutlineReader:
    """Reads the imports of files; scans the lines of a file that does not parse, and records it."""

    def __init__(self) -> None:
        self.unparsed: dict[str, Unparsed] = {}

    def read(self, path: str) -> FileFacts | Unparsed:
        facts = read_imports_only(path)
        if isinstance(facts, FileFacts):
            return facts
        self.unparsed[path] = facts
        source = read_source(path)
        return _facts_from_lines(source) if isinstance(source, SourceText) else facts


def _facts_from_lines(source: SourceText) -> FileFacts:
    return FileFacts(
        path=source.path,
        imports=scan_imports(source.text()),
        names={},
        has_dynamic_names=True,
        undefined=(),
        uses_before_definition=(),
        uses_before_definition_as_main=(),
        path_additions=PathAdditions((), is_complete=False),
        ports=LiteralPorts((), frozenset(), True),
    )


def _imports_of_agent(
    agent: AgentSpec, fleet: Fleet, source_cache: AgentSourceCache, reader: _OutlineReader, root: str
) -> AgentImports:
    sources = source_cache.read_sources(agent)
    files = [path for path in sources.all_files() if os.path.isfile(path)]
    uses = (
        _package_uses(sources.import_graph, root)
        if sources.import_graph is not None
        else _import_of_installed_class(agent, fleet)
    )
    return AgentImports(
        agent=agent.name,
        files=tuple(_relative(path, root) for path in files if _is_below(path, root)),
        uses=uses,
        unread=_unread_reason(agent, sources, reader, root),
    )


def _import_of_installed_class(agent: AgentSpec, fleet: Fleet) -> tuple[PackageUse, ...]:
    """Return the module of a class that is not in the tree, as imported by the fleet file."""
    if agent.kind != "class":
        return ()
    place = fleet.locations.get(f"agents.{agent.name}.run", agent.where)
    path, line, _ = place.rsplit(":", 2)
    return (PackageUse(str(agent.run).partition(":")[0], os.path.basename(path), int(line)),)


def _unread_reason(agent: AgentSpec, sources: AgentSources, reader: _OutlineReader, root: str) -> str:
    if agent.kind == "command" and sources.import_graph is None:
        return f"runs the command `{agent.run[0] if agent.run else ''}`, which is not a Python script"
    if sources.import_graph is None:
        return f"`{agent.run}` is in an installed package" if agent.kind == "class" else "there is no script"
    if agent.kind != "class" and not _is_below(sources.import_graph.entry.path, root):
        return f"`{sources.import_graph.entry.path}` is outside the fleet file's folder, so it is in no image"
    if agent.kind != "class" and not os.path.isfile(sources.import_graph.entry.path):
        return f"there is no script `{_relative(sources.import_graph.entry.path, root)}`"
    failed = [reader.unparsed[path] for path in sources.import_graph.nodes if path in reader.unparsed]
    if not failed:
        return ""
    first = failed[0]
    place = f"{_relative(first.path, root)}:{first.line}:{first.column}"
    stage = {"read": "", "parse": "does not parse: ", "compile": "does not compile: "}[first.stage]
    more = f", and {len(failed) - 1} more of its files" if len(failed) > 1 else ""
    return f"{place}: {stage}{first.message}{more}"


def _package_uses(import_graph: ImportGraph, root: str) -> tuple[PackageUse, ...]:
    """Return the most certain import of each module in each file."""
    most_certain: dict[tuple[str, str], ExternalImport] = {}
    for item in import_graph.external_imports:
        key = (item.statement.module, item.node.path)
        known = most_certain.get(key)
        if known is None or (item.certainty, item.statement.line) < (known.certainty, known.statement.line):
            most_certain[key] = item
    return tuple(sorted(_package_use(item, root) for item in most_certain.values()))


def _package_use(item: ExternalImport, root: str) -> PackageUse:
    import_chain = tuple(f"{_relative(step.path, root)}:{step.line}" for step in item.node.import_chain)
    return PackageUse(
        item.statement.module,
        _relative(item.node.path, root),
        item.statement.line,
        tuple(_import_conditions(item)),
        import_chain,
    )


def _import_conditions(item: ExternalImport) -> Iterator[str]:
    conditions = set(item.statement.conditions)
    if item.node.certainty is LoadCertainty.POSSIBLE and not conditions & {
        ImportCondition.LAZY,
        ImportCondition.CONDITIONAL,
        ImportCondition.PLATFORM,
    }:
        conditions.add(ImportCondition.LAZY)
    if item.node.certainty is LoadCertainty.GUARDED:
        conditions.add(ImportCondition.GUARDED)
    yield from sorted(str(condition) for condition in conditions)


def _is_below(path: str, root: str) -> bool:
    return path.startswith(root + os.sep)


def _relative(path: str, root: str) -> str:
    return os.path.relpath(path, root) if _is_below(path, root) else path
