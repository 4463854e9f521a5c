"""The packages from outside that a file imports, and where first."""

from __future__ import annotations

import ast
import re

import msgspec

from argosy.refit.addresses.testing import is_test
from argosy.refit.fact import FactKind
from argosy.refit.facts.imports import imports_of
from argosy.refit.file import BrokenFile, PythonFile
from argosy.source import flow
from argosy.source.imports import Import, When
from argosy.source.modules import is_standard

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_RARE = frozenset({When.PLATFORM, When.CONDITIONAL, When.DYNAMIC, When.GUARDED})


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """The surest import of one package. top: its first name. is_optional: the file can do without it."""

    top: str
    line: int
    column: int
    is_optional: bool


class Imported(msgspec.Struct, frozen=True, array_like=True):
    """What a file takes from outside of itself and of the standard library; local modules are among it.

    named: first words of dotted names in its texts, which may be loaded by them. is_test: it tests.
    """

    taken: tuple[Taken, ...]
    named: tuple[str, ...]
    is_test: bool


def collect(file: PythonFile) -> Imported | None:
    surest: dict[str, Taken] = {}
    for item in file.derived(imports_of):
        top = item.module.partition(".")[0]
        if item.level or not top or When.TYPING in item.when or is_standard(top):
            continue
        taken = Taken(top, item.line, item.column, _is_optional(item))
        if top not in surest or (surest[top].is_optional and not taken.is_optional):
            surest[top] = taken
    named = _named(file)
    return Imported(tuple(surest.values()), named, is_test(file)) if surest or named else None


def _is_optional(item: Import) -> bool:
    return bool(item.when & _RARE) or flow.is_caught("ModuleNotFoundError", item.caught)


def _named(file: PythonFile) -> tuple[str, ...]:
    """Return the packages that texts name: a class by its path, an application of Django."""
    is_django = b"INSTALLED_APPS" in file.source.data
    found: set[str] = set()
    for node, _ in file.nodes(ast.Constant):
        text = node.value
        if not isinstance(text, str) or len(text) > 80 or not (is_django or "." in text):
            continue
        if _DOTTED.fullmatch(text) or (is_django and text.isidentifier()):
            found.add(text.partition(".")[0])
    return tuple(sorted(found))


def collect_broken(file: BrokenFile) -> Imported | None:
    """What stands at the beginning of lines; a file that does not parse still wants its packages."""
    if file.source is None:
        return None
    from argosy.source.importlines import scan_imports  # noqa: PLC0415 - most files parse

    surest: dict[str, Taken] = {}
    for item in scan_imports(file.source.text()):
        top = item.module.partition(".")[0]
        if not item.level and not is_standard(top):
            surest.setdefault(top, Taken(top, item.line, item.column, True))
    return Imported(tuple(surest.values()), (), False) if surest else None


IMPORTED: FactKind[Imported] = FactKind("imported", Imported, collect, collect_broken=collect_broken)
