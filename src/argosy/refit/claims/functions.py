"""Queries about functions: by name, and by what they do."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from argosy.refit.claims.answer import Answer, Bounds, Spot
from argosy.refit.claims.kind import Ask, Item, Kind, Reading, last, name_trouble, plain, spot_of, word_of
from argosy.refit.claims.lexical import Outline
from argosy.refit.facts.units import prints_of
from argosy.refit.file import PythonFile


def _functions(file: PythonFile, argument: str) -> list[Item]:
    return [item for item in _all_functions(file) if _is_named(item.name, argument)]


def _all_functions(file: PythonFile) -> Iterator[Item]:
    for node, name, shape in prints_of(file):
        if not isinstance(node, ast.ClassDef):
            lines = file.lines[node.lineno - 1 : node.end_lineno]
            yield Item(
                node.lineno,
                file.parsed.column(node),
                name,
                (),
                shape,
                sum(1 for line in lines if line.strip()),
            )


def _is_named(name: str, argument: str) -> bool:
    if "." not in argument:
        return fnmatchcase(last(name), argument)
    return fnmatchcase(name, argument) or fnmatchcase(name, f"*.{argument}")


def _functions_in_words(outline: Outline, argument: str) -> list[Item]:
    return [
        Item(item.line, item.column, item.name, (), b"", item.lines)
        for item in outline.definitions
        if item.kind == "def" and _is_named(item.name, argument)
    ]


def _groups(ask: Ask) -> tuple[dict[bytes, list[Spot]], dict[str, int | None]]:
    """Return the functions that do the same, and the files with how many that do not parse."""
    groups: dict[bytes, list[Spot]] = {}
    unknown: dict[str, int | None] = dict.fromkeys(ask.unread)
    for path in ask.paths:
        items = ask.items.get(path, ())
        for item in items:
            if item.shape:
                groups.setdefault(item.shape, []).append(spot_of(path, item))
        shapeless = sum(1 for item in items if not item.shape)
        if shapeless and path not in unknown:
            unknown[path] = shapeless
    return groups, unknown


def _same(ask: Ask) -> Answer:
    """The largest group of functions that do the same; one that does not parse may be in any group."""
    groups, unknown = _groups(ask)
    largest = max(groups.values(), key=len, default=[])
    return Answer(tuple(largest), unknown, _more(len(largest), unknown))


def _variants(ask: Ask) -> Answer:
    """How many functions differ in what they do; one that does not parse may be another one."""
    groups, unknown = _groups(ask)
    spots = tuple(spot for group in groups.values() for spot in group)
    return Answer(spots, unknown, _more(len(groups), unknown))


def _more(count: int, unknown: Mapping[str, int | None]) -> Bounds:
    """Return how large a number is when any of the unknown may add to it, or none."""
    known = [each for each in unknown.values() if each is not None]
    most = count + sum(known) if len(known) == len(unknown) else None
    return Bounds(count or int(bool(known)), most)


def _lines(ask: Ask) -> Answer:
    answer = plain(ask)
    total = sum(item.lines for path in ask.paths for item in ask.items.get(path, ()))
    return Answer(answer.spots, {}, Bounds(total, None if ask.unread else total))


def _every_function(file: PythonFile, argument: str) -> list[Item]:
    return list(_all_functions(file))


def _unknown_functions(outline: Outline, argument: str) -> list[Item]:
    return [Item(item.line, item.column, item.name) for item in outline.definitions if item.kind == "def"]


def _like(ask: Ask) -> Answer:
    """Those that do what one function does; in files that do not parse nobody can tell."""
    path, _, name = ask.argument.rpartition(":")
    model = next((item for item in ask.items.get(path, ()) if item.name == name), None)
    if model is None or not model.shape:
        why = "does not parse" if model is not None else "is not there"
        return Answer(trouble=f"the function `{name}` in `{path}` {why}")
    spots, maybe = [], {}
    for where in ask.paths:
        items = ask.items.get(where, ())
        spots += [spot_of(where, item) for item in items if item.shape == model.shape]
        unknown = sum(1 for item in items if not item.shape)
        if unknown:
            maybe[where] = unknown
    return Answer(tuple(spots), {**maybe, **dict.fromkeys(ask.unread)})


def _like_trouble(argument: str) -> str:
    path, _, name = argument.rpartition(":")
    if path.endswith(".py") and name:
        return ""
    return f"`{argument}` is no function; expected such as `agents/translator.py:Translator.loop`"


_BY_NAME = Reading(_functions, _functions_in_words, word_of)

KINDS = (
    Kind(
        name="python.functions",
        argument="NAME",
        counts="function definitions of a name (`start`, `Translator.start`, `_health_*`)",
        check=name_trouble,
        reading=_BY_NAME,
        answer=plain,
    ),
    Kind(
        name="python.same",
        argument="NAME",
        counts="of the functions of a name, the largest group that is the same up to names and constants",
        is_sum=True,
        check=name_trouble,
        reading=_BY_NAME,
        answer=_same,
    ),
    Kind(
        name="python.variants",
        argument="NAME",
        counts="of the functions of a name, those that differ in more than names and constants",
        is_sum=True,
        check=name_trouble,
        reading=_BY_NAME,
        answer=_variants,
    ),
    Kind(
        name="python.lines",
        argument="NAME",
        counts="the lines of the functions of a name, blank ones left out",
        is_sum=True,
        check=name_trouble,
        reading=_BY_NAME,
        answer=_lines,
    ),
    Kind(
        name="python.like",
        argument="PATH:NAME",
        counts="functions, of any name, that do what this one does, up to names and constants",
        check=_like_trouble,
        reading=Reading(_every_function, _unknown_functions, is_whole=True),
        answer=_like,
    ),
)
