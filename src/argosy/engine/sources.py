"""The sources of an agent: its own file, and the files of the tree that it imports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from argosy.engine.imprint import own_files
from argosy.fleet.spec import AgentSpec
from argosy.source.closure import Closure, close, close_module
from argosy.source.facts import Facts, Library
from argosy.source.modules import Finder, Folders

_PYTHON = re.compile(r"python[0-9.]*")


class Sources(NamedTuple):
    """What one agent is made of.

    own: the files that are the agent itself; a command may have several, or none. closure: None for a
    command that runs no script, and where the module of a class is not in the tree. finder: what
    its imports were looked for with. class_name: empty for a script.
    """

    own: tuple[str, ...]
    closure: Closure | None
    finder: Finder | None
    class_name: str = ""

    def files(self) -> tuple[str, ...]:
        """Return all files, its own first."""
        return tuple(dict.fromkeys([*self.own, *(self.closure.nodes if self.closure else ())]))


class Shelf:
    """Reads the sources of many agents; every file once. Not for several threads.

    root: the fleet file's folder. variables: the environment that agents inherit. library: what knows the
    files, where somebody has read them already.
    """

    def __init__(
        self,
        root: str,
        variables: Mapping[str, str],
        folders: Folders | None = None,
        library: Library | None = None,
    ) -> None:
        self._root = root
        self._variables = variables
        self._folders = folders or Folders()
        self.library = library or Library()

    def sources_of(self, agent: AgentSpec) -> Sources:
        """Return the sources of one agent; what is missing is left out."""
        cwd = os.path.join(self._root, agent.cwd or "")
        path = python_path({**self._variables, **agent.env}, cwd)
        if agent.kind == "class":
            return self._of_class(agent, cwd, path)
        own = own_files(agent, self._root)
        script = own[0] if agent.kind == "script" else script_of(agent.run)
        if script is None:
            return Sources(own, None, None)
        script = os.path.normpath(os.path.join(cwd, script))
        beside = os.path.dirname(os.path.realpath(script))
        finder = Finder([beside, *path], assumed_folders(script, self._root, self.library), self._folders)
        return Sources(own, close(script, finder, self.library), finder)

    def _of_class(self, agent: AgentSpec, cwd: str, path: Iterable[str]) -> Sources:
        name, _, class_name = str(agent.run).partition(":")
        finder = Finder([self._root, *([cwd] if agent.cwd else []), *path], (), self._folders)
        module = finder.find(name)
        if module is None or module.kind != "source":
            return Sources((), None, finder, class_name)
        return Sources((module.path,), close_module(module, finder, self.library), finder, class_name)


def assumed_folders(script: str, root: str, library: Library) -> list[str]:
    """Return the folders that count as a script's own: what it adds to sys.path, and those above it."""
    facts = library.facts(script)
    folders = list(facts.additions.folders) if isinstance(facts, Facts) else []
    folder = os.path.dirname(script)
    while folder.startswith(root + os.sep):
        folders.append(folder)
        folder = os.path.dirname(folder)
    return [*folders, root]


def python_path(env: Mapping[str, str], cwd: str) -> list[str]:
    """Return the folders of PYTHONPATH for a process in `cwd`."""
    entries = env.get("PYTHONPATH", "").split(os.pathsep)
    return [os.path.normpath(os.path.join(cwd, entry)) for entry in entries if entry]


def script_of(run: str | tuple[str, ...]) -> str | None:
    """Return the script of a command such as `python3 -u agent.py`, or None."""
    if isinstance(run, str) or not run or not _PYTHON.fullmatch(os.path.basename(run[0])):
        return None
    for word in run[1:]:
        if word in ("-m", "-c"):
            return None
        if not word.startswith("-"):
            return word if word.endswith(".py") else None
    return None
