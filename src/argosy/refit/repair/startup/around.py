"""What startup rules may ask about the tree around a file. Each answer is found when it is asked for."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from argosy.refit.contract import Helpers, accepted, read_helpers
from argosy.refit.file import module_name
from argosy.refit.repair.names.view import View
from argosy.source.classes import Class, Definition, Place, Tree
from argosy.source.collector import collector_paused
from argosy.source.flow import dotted
from argosy.source.modules import Finder, Folders
from argosy.source.parse import Parsed, parse
from argosy.source.text import Source, Unparsed, read_source

# What stands where a person should have put a value: `<BIND_ADDR>`.
PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")


class Around:
    """The tree of a repair. Holds no file's tree but those that were asked for.

    paths: the tree's files, relative to `root`. mended: sources that stand for those of the disk, by
    path. absent: top modules that are told to be absent where the code will run.
    """

    def __init__(
        self,
        root: str,
        paths: Sequence[str],
        mended: Mapping[str, Source] | None = None,
        absent: Collection[str] = (),
    ) -> None:
        self.root = root
        self.paths = paths
        self.absent = frozenset(absent)
        self._mended = mended or {}
        self._finder = Finder([root], (), Folders())
        self._fallbacks: dict[str, tuple[str, ...]] = {}
        self._known_helpers: dict[str, tuple[Parsed, Helpers]] = {}
        self._called: dict[str, bool] = {}

    @cached_property
    def classes(self) -> Tree:
        """The modules of the tree, as seen from its root."""
        return Tree(self._finder, self._parse)

    def has_folder(self, path: str) -> bool:
        """Return whether the tree has this folder, told from its root."""
        return bool(path) and os.path.isdir(os.path.join(self.root, path))

    def has_module(self, module: str) -> bool:
        """Return whether the tree has this module."""
        return self._finder.find(module) is not None

    def has_file(self, stem: str) -> bool:
        """Return whether the tree has a module or package at this path, told without a suffix."""
        return bool({f"{stem}.py", f"{stem}/__init__.py"} & self._known_paths)

    def only_module(self, tail: str) -> str | None:
        """Return the one module of the tree whose dotted name ends so; None for none, or for several."""
        stem = tail.replace(".", "/")
        ends = (f"/{stem}.py", f"/{stem}/__init__.py")
        found = [path for path in self.paths if path.endswith(ends)]
        name = module_name(found[0]) if len(found) == 1 else ""
        return name if name and self.has_module(name) else None

    def is_imported(self, module: str) -> bool:
        """Return whether a file of the tree imports names from a module by this name, by its text."""
        return self._says(f"from {module} import ", self.paths)

    def definition(self, view: View, name: str) -> Definition | None:
        """Return the statement that defines what `name` means in a file, if the tree has it."""
        place = self.classes.resolve(self._current(view), name)
        return self.classes.definition(place) if place is not None else None

    def lineage(self, view: View, name: str) -> tuple[Class, ...]:
        """Return the class that `name` means in a file, and its bases in the tree; empty without one."""
        found = self.classes.find_class(self._current(view), name)
        return self.classes.lineage(found) if found is not None else ()

    def _current(self, view: View) -> str:
        """Return the name of a file's module, which from here on is taken as the view has it."""
        module = module_name(view.path)
        if self.classes.read(module) is not view.parsed:
            self.classes.put(module, view.parsed)
        return module

    def accepted(self, view: View, name: str, line: int) -> frozenset[str] | None:
        """Return the texts that a function takes as its first argument; None where that is not known.

        line: of the module's statement that calls it: what is bound last above it is meant.
        """
        place = self._place_at(view, name, line)
        found = accepted(self._helpers, self._follow, place.module, place.name) if place is not None else None
        if found is None or any(map(self._is_called, found.grown_by)):
            return None
        return found.keys

    def _place_at(self, view: View, name: str, line: int) -> Place | None:
        above = [item for item in view.scope.bindings.get(name, ()) if item.line < line]
        if len(above) < 2:
            return self.classes.resolve(self._current(view), name)
        module, _, taken = max(above, key=lambda item: item.line).origin.rpartition(".")
        return self.classes.resolve(module, taken) if self.classes.is_local(module) else None

    def gives_text(self, view: View, name: str) -> bool:
        """Return whether a function of the tree surely returns text."""
        place = self.classes.resolve(self._current(view), name)
        helpers = self._helpers(place.module) if place is not None else None
        made = helpers.functions.get(place.name) if place is not None and helpers is not None else None
        return made is not None and made.gives == "str"

    def _helpers(self, module: str) -> Helpers | None:
        parsed = self.classes.read(module)
        if not isinstance(parsed, Parsed):
            return None
        known = self._known_helpers.get(module)
        if known is None or known[0] is not parsed:
            known = self._known_helpers[module] = (parsed, read_helpers(parsed.tree))
        return known[1]

    def _follow(self, module: str, name: str) -> tuple[str, str] | None:
        place = self.classes.resolve(module, name)
        return (place.module, place.name) if place is not None else None

    def _is_called(self, method: str) -> bool:
        """Return whether a file that is no test calls a method of this name, by its text."""
        if method not in self._called:
            self._called[method] = self._says(
                f".{method}(", [path for path in self.paths if not _is_test(path)]
            )
        return self._called[method]

    def _says(self, words: str, paths: Sequence[str]) -> bool:
        """Return whether the text of one of these files has some words."""
        data = words.encode()
        return any(isinstance(source := self._source(path), Source) and data in source.data for path in paths)

    def has_elsewhere(self, top: str, beside: str) -> bool:
        """Return whether a module or package of this name is in the tree, but not in the folder `beside`."""
        inside = f"{beside}/" if beside else ""
        if any(path in self._known_paths for path in (f"{inside}{top}.py", f"{inside}{top}/__init__.py")):
            return False
        return top in self._stems

    @cached_property
    def _known_paths(self) -> frozenset[str]:
        return frozenset(self.paths)

    @cached_property
    def _stems(self) -> frozenset[str]:
        """The names of the tree's files, without their suffix, and of the folders that hold them."""
        return frozenset(part for path in self.paths for part in path.removesuffix(".py").split("/"))

    def fallbacks(self, variable: str) -> tuple[str, ...]:
        """Return the texts that the tree's files give as a variable's fallback, one for each place."""
        if variable not in self._fallbacks:
            found: list[str] = []
            with collector_paused():
                for path in self.paths:
                    source = self._source(path)
                    if isinstance(source, Source) and variable.encode() in source.data:
                        parsed = parse(source, is_compiled=False)
                        found += _fallbacks_in(parsed, variable) if isinstance(parsed, Parsed) else ()
            self._fallbacks[variable] = tuple(found)
        return self._fallbacks[variable]

    def _source(self, path: str) -> Source | Unparsed:
        return self._mended.get(path) or read_source(os.path.join(self.root, path))

    def _parse(self, path: str) -> Parsed | Unparsed:
        source = self._source(os.path.relpath(path, self.root).replace(os.sep, "/"))
        if not isinstance(source, Source):
            return source
        with collector_paused():
            return parse(source, is_compiled=False)


def fallback_of(node: ast.AST) -> tuple[str, ast.Constant] | None:
    """Return variable and fallback of a call such as `os.environ.get("HOST", "localhost")`.

    Any function counts whose last name is made of `get` and `env`, and `get` of an `environ`.
    """
    if not isinstance(node, ast.Call) or len(node.args) != 2 or node.keywords:
        return None
    whole = dotted(node.func)
    if not (whole.endswith("environ.get") or {"get", "env"} <= set(re.findall("get|env", whole.lower()))):
        return None
    name, text = node.args
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
        return None
    is_text = isinstance(text, ast.Constant) and isinstance(text.value, str)
    return (name.value, text) if isinstance(text, ast.Constant) and is_text else None


def _is_test(path: str) -> bool:
    *folders, name = path.split("/")
    return name.startswith("test_") or name == "conftest.py" or bool({"test", "tests"} & set(folders))


def _fallbacks_in(parsed: Parsed, variable: str) -> list[str]:
    found = [fallback_of(node) for node in ast.walk(parsed.tree)]
    return [str(item[1].value) for item in found if item is not None and item[0] == variable]
