"""The external packages that a file imports, each with its first import."""

from __future__ import annotations

import ast
import re

import msgspec

from argosy.refit.analysis.facts.module_names import find_file_imports
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
    """The surest import of one package.

    top_module: its first name. is_optional: the file works without it.
    """

    top_module: str
    line: int
    column: int
    is_optional: bool


class ExternalImports(msgspec.Struct, frozen=True, array_like=True):
    """The imports of a file that are neither its own nor of the standard library; local modules are included.

    packages_in_text: the first parts of dotted names in strings, which may be imported by name.
    is_test_file: whether it is a test.
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
    """Return the packages that strings name: a class by its dotted path, an application of Django."""
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
    """Return the imports at the start of lines, for a file that does not parse."""
    if file.source is None:
        return None
    from argosy.source.import_statements import scan_imports  # noqa: PLC0415 - most files parse

    by_module: dict[str, ExternalPackageImport] = {}
    for item in scan_imports(file.source.text()):
        top_module = item.module.partition(".")[0]
        if not item.level and not is_standard(top_module):
            by_module.setdefault(top_module, ExternalPackageImport(top_module, item.line, item.column, True))
    return ExternalImports(tuple(by_module.values()), (), False) if by_module else None


EXTERNAL_IMPORTS: FactKind[ExternalImports] = FactKind(
    "external imports", ExternalImports, collect, collect_broken=collect_broken
)
