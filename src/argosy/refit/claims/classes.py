"""Queries about classes: what derives from a base, and what overrides its methods."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase

from argosy.refit.claims.answer import Answer, Spot
from argosy.refit.claims.kind import Ask, Item, Items, Kind, Reading, last, name_trouble, spot_of
from argosy.refit.claims.lexical import Outline
from argosy.refit.claims.python import resolved
from argosy.refit.file import PythonFile, module_name

# What marks the methods among the items; classes have their bases there.
_METHOD = "def"


def _classes(file: PythonFile, argument: str) -> list[Item]:
    found: list[Item] = []
    for node, scope in file.nodes(ast.ClassDef):
        name = ".".join(filter(None, [scope.qualified_name(), node.name]))
        written = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        bases = tuple(filter(None, (resolved(file, base, scope) for base in written)))
        found.append(Item(node.lineno, file.parsed.column(node), name, bases))
        for method in node.body:
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                column = file.parsed.column(method)
                found.append(Item(method.lineno, column, f"{name}.{method.name}", (_METHOD,)))
    return found


def _classes_in_words(outline: Outline, argument: str) -> list[Item]:
    defined = list(outline.definitions)
    found = [Item(item.line, item.column, item.name, item.bases) for item in defined if item.kind == "class"]
    found += [Item(item.line, item.column, item.name, (_METHOD,)) for item in defined if item.kind == "def"]
    return found


class _Family:
    """Which classes derive from a base, through any number of others."""

    def __init__(self, items: Items, base: str) -> None:
        self.base = base
        self.classes: dict[tuple[str, str], Item] = {}
        self.homes: dict[str, list[tuple[str, str]]] = {}
        for path, held in items.items():
            for item in held:
                if item.more != (_METHOD,):
                    self.classes.setdefault((path, item.name), item)
                    self.homes.setdefault(last(item.name), []).append((path, item.name))
        self.known: dict[tuple[str, str], bool | None] = {}

    def derives(self, key: tuple[str, str]) -> bool | None:
        """Return whether a class derives from the base; None where a name on the way means several."""
        if key not in self.known:
            self.known[key] = False  # a circle of bases leads nowhere
            found = [self._leads(key, base) for base in self.classes[key].more]
            self.known[key] = True if True in found else None if None in found else False
        return self.known[key]

    def _leads(self, key: tuple[str, str], base: str) -> bool | None:
        if fnmatchcase(base, self.base) or fnmatchcase(base, f"*.{self.base}"):
            return True
        candidates = self._homes(key, base)
        found = {self.derives(candidate) for candidate in candidates if candidate != key}
        return found.pop() if len(found) == 1 else None if found else False

    def _homes(self, key: tuple[str, str], base: str) -> list[tuple[str, str]]:
        """Return the classes that a base may be: of the same file, of its module, else all so called."""
        alike = self.homes.get(last(base), [])
        if "." not in base:
            return [home for home in alike if home[0] == key[0]]
        module = base.rpartition(".")[0]
        exact = [home for home in alike if _ends(module_name(home[0]), module)]
        return exact or alike


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _derived(ask: Ask) -> Answer:
    family = _Family(ask.items, ask.argument)
    spots, maybe = [], dict.fromkeys(ask.unread)
    for path, item in _in_scope(ask):
        if item.more == (_METHOD,):
            continue
        is_derived = family.derives((path, item.name))
        if is_derived:
            spots.append(spot_of(path, item))
        elif is_derived is None:
            _one_more(maybe, path)
    return Answer(tuple(spots), maybe)


def _overrides(ask: Ask) -> Answer:
    base, _, method = ask.argument.rpartition(".")
    family = _Family(ask.items, base)
    homes = {path for path, name in family.classes if family.derives((path, name)) is not False}
    spots: list[Spot] = []
    maybe = dict.fromkeys(ask.unread)
    for path, item in _in_scope(ask):
        cls, _, name = item.name.rpartition(".")
        if item.more != (_METHOD,) or not fnmatchcase(name, method):
            continue
        # What is indented wrongly may be a method all the same.
        is_lost = (path, cls) not in family.classes
        is_derived = (None if path in homes else False) if is_lost else family.derives((path, cls))
        if is_derived:
            spots.append(spot_of(path, item))
        elif is_derived is None:
            _one_more(maybe, path)
    return Answer(tuple(spots), maybe)


def _in_scope(ask: Ask) -> Iterator[tuple[str, Item]]:
    for path in ask.paths:
        for item in ask.items.get(path, ()):
            yield path, item


def _one_more(maybe: dict[str, int | None], path: str) -> None:
    held = maybe.get(path, 0)
    if held is not None:
        maybe[path] = held + 1


def _override_trouble(argument: str) -> str:
    base, _, method = argument.rpartition(".")
    if base and method and not name_trouble(argument):
        return ""
    return f"`{argument}` is no method of a class; expected such as `BaseAgent.start`"


_READING = Reading(_classes, _classes_in_words, lambda argument: "class", is_whole=True)

KINDS = (
    Kind(
        name="python.classes",
        argument="BASE",
        counts="classes that derive from a base, through any number of others",
        check=name_trouble,
        reading=_READING,
        answer=_derived,
    ),
    Kind(
        name="python.overrides",
        argument="BASE.METHOD",
        counts="methods of a name in classes that derive from a base",
        check=_override_trouble,
        reading=_READING,
        answer=_overrides,
    ),
)
