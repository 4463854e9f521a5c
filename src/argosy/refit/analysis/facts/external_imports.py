"""The packages from outside that a file imports, and where first."""

from __future__ import annotations

import ast
import re

import msgspec

from argosy.refit.analysis.facts.module_imports import find_file_imports
from argosy.refit.analysis.testing_code import is_test_file
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import BrokenFile, PythonFile
from argosy.source import control_flow
from argosy.source.import_statements import Import, ImportCondition
from argosy.source.module_finder import is_standard

_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_OPTIONAL_CONDITIONS = frozenset(
    {ImportCondition.PLATFORM, ImportCondition.CONDITIONAL, ImportCondition.DYNAMIC, ImportCondition.GUARDED}
)


class ExternalPackageImport(msgspec.Struct, frozen=True, array_like=True):
    """The surest import of one package. top: its first name. is_optional: the file can do without it."""

    top_module: str
    line: int
    column: int
    is_optional: bool


class ExternalImports(msgspec.Struct, frozen=True, array_like=True):
    """What a file takes from outside of itself and of the standard library; local modules are among it.

    named: first words of dotted names in its texts, which may be loaded by them. is_test: it tests.
    """

    packages: tuple[ExternalPackageImport, ...]
    packages_in_text: tuple[str, ...]
    is_test_file: bool


def collect(file: PythonFile) -> ExternalImports | None:
    by_module: dict[str, ExternalPackageImport] = {}
    for item in file.compute_once(find_file_imports):
        top_module = item.module.partition(".")[0]
        if (
            item.level
            or not top_module
            or ImportCondition.TYPING in item.conditions
            or is_standard(top_module)
        ):
            continue
        package = ExternalPackageImport(top_module, item.line, item.column, _is_optional(item))
        if top_module not in by_module or (by_module[top_module].is_optional and not package.is_optional):
            by_module[top_module] = package
    packages_in_text = _packages_in_text(file)
    return (
        ExternalImports(tuple(by_module.values()), packages_in_text, is_test_file(file))
        if by_module or packages_in_text
        else None
    )


def _is_optional(item: Import) -> bool:
    return bool(item.conditions & _OPTIONAL_CONDITIONS) or control_flow.is_caught(
        "ModuleNotFoundError", item.caught
    )


def _packages_in_text(file: PythonFile) -> tuple[str, ...]:
    """Return the packages that texts name: a class by its path, an application of Django."""
    is_django = b"INSTALLED_APPS" in file.source.data
    found: set[str] = set()
    for node, _ in file.nodes(ast.Constant):
        text = node.value
        if not isinstance(text, str) or len(text) > 80 or not (is_django or "." in text):
            continue
        if _DOTTED_NAME.fullmatch(text) or (is_django and text.isidentifier()):
            found.add(text.partition(".")[0])
    return tuple(sorted(found))


def collect_broken(file: BrokenFile) -> ExternalImports | None:
    """What stands at the beginning of lines; a file that does not parse still wants its packages."""
    if file.source is None:
        return None
    from argosy.source.import_scan import scan_imports  # noqa: PLC0415 - most files parse

    by_module: dict[str, ExternalPackageImport] = {}
    for item in scan_imports(file.source.text()):
        top_module = item.module.partition(".")[0]
        if not item.level and not is_standard(top_module):
            by_module.setdefault(top_module, ExternalPackageImport(top_module, item.line, item.column, True))
    return ExternalImports(tuple(by_module.values()), (), False) if by_module else None


EXTERNAL_IMPORTS: FactKind[ExternalImports] = FactKind(
    "imported", ExternalImports, collect, collect_broken=collect_broken
)
