"""The sources of an agent: its own file, and the files of the tree that it imports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from argosy.engine.state.source_snapshot import list_entry_files
from argosy.fleet.fleet_spec import AgentSpec
from argosy.source.file_facts import FileFacts, FileFactsCache
from argosy.source.import_graph import ImportGraph, build_import_graph, build_module_import_graph
from argosy.source.module_finder import DirectoryListings, ModuleFinder

_PYTHON = re.compile(r"python[0-9.]*")


class AgentSources(NamedTuple):
    """The sources of one agent.

    entry_files: the files that are the agent itself; a command may have several, or none. import_graph: None
    for a command that runs no script, and where the module of a class is not in the tree. finder: where
    its imports were looked up. class_name: empty for a script.
    """

    entry_files: tuple[str, ...]
    import_graph: ImportGraph | None
    finder: ModuleFinder | None
    class_name: str = ""

    def all_files(self) -> tuple[str, ...]:
        """Return all files, the entry files first."""
        return tuple(
            dict.fromkeys([*self.entry_files, *(self.import_graph.nodes if self.import_graph else ())])
        )


class AgentSourceCache:
    """Reads the sources of many agents, each file once. Not thread-safe.

    root: the fleet file's directory. variables: the environment that agents inherit. listings, facts_cache:
    caches to share with other readers.
    """

    def __init__(
        self,
        root: str,
        variables: Mapping[str, str],
        listings: DirectoryListings | None = None,
        facts_cache: FileFactsCache | None = None,
    ) -> None:
        self._root = root
        self._variables = variables
        self._listings = listings or DirectoryListings()
        self.facts_cache = facts_cache or FileFactsCache()

    def read_sources(self, agent: AgentSpec) -> AgentSources:
        """Return the sources of one agent; missing files are left out."""
        cwd = os.path.join(self._root, agent.cwd or "")
        path = pythonpath_entries({**self._variables, **agent.env}, cwd)
        if agent.kind == "class":
            return self._read_class_sources(agent, cwd, path)
        entry_files = list_entry_files(agent, self._root)
        script = entry_files[0] if agent.kind == "script" else find_script_argument(agent.run)
        if script is None:
            return AgentSources(entry_files, None, None)
        script = os.path.normpath(os.path.join(cwd, script))
        script_dir = os.path.dirname(os.path.realpath(script))
        finder = ModuleFinder(
            [script_dir, *path], assumed_sys_path(script, self._root, self.facts_cache), self._listings
        )
        return AgentSources(entry_files, build_import_graph(script, finder, self.facts_cache), finder)

    def _read_class_sources(self, agent: AgentSpec, cwd: str, path: Iterable[str]) -> AgentSources:
        name, _, class_name = str(agent.run).partition(":")
        finder = ModuleFinder([self._root, *([cwd] if agent.cwd else []), *path], (), self._listings)
        module = finder.find(name)
        if module is None or module.kind != "source":
            return AgentSources((), None, finder, class_name)
        return AgentSources(
            (module.path,), build_module_import_graph(module, finder, self.facts_cache), finder, class_name
        )


def assumed_sys_path(script: str, root: str, facts_cache: FileFactsCache) -> list[str]:
    """Return the directories assumed on a script's sys.path: those it adds, and the parents of its own."""
    facts = facts_cache.facts(script)
    directories = list(facts.path_additions.folders) if isinstance(facts, FileFacts) else []
    directory = os.path.dirname(script)
    while directory.startswith(root + os.sep):
        directories.append(directory)
        directory = os.path.dirname(directory)
    return [*directories, root]


def pythonpath_entries(env: Mapping[str, str], cwd: str) -> list[str]:
    """Return the directories of PYTHONPATH for a process in `cwd`."""
    entries = env.get("PYTHONPATH", "").split(os.pathsep)
    return [os.path.normpath(os.path.join(cwd, entry)) for entry in entries if entry]


def find_script_argument(run: str | tuple[str, ...]) -> str | None:
    """Return the script of a command such as `python3 -u agent.py`, or None."""
    if isinstance(run, str) or not run or not _PYTHON.fullmatch(os.path.basename(run[0])):
        return None
    for word in run[1:]:
        if word in ("-m", "-c"):
            return None
        if not word.startswith("-"):
            return word if word.endswith(".py") else None
    return None
