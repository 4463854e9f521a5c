"""The helper functions of a module, and the uses of helpers in files."""

from __future__ import annotations

import ast

import msgspec

from argosy.refit.analysis.helper_contract import ModuleHelpers, read_helpers
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.module_finder import is_standard


class HelperUse(msgspec.Struct, frozen=True, array_like=True):
    """One use of a helper.

    helper_name: where its name leads (`lib.paths.join_path`). used_name: the string that is its first
    argument, or the attribute that is read of its result.
    """

    helper_name: str
    used_name: str
    line: int


class HelperUses(msgspec.Struct, frozen=True, array_like=True):
    """The uses of helpers in a file.

    text_arguments: strings passed to helpers. result_attributes: read of their results, through a name bound
    once.
    """

    text_arguments: tuple[HelperUse, ...]
    result_attributes: tuple[HelperUse, ...]


def collect_helper_contracts(file: PythonFile) -> ModuleHelpers | None:
    found = read_helpers(file.tree)
    return found if found.functions else None


def collect_helper_uses(file: PythonFile) -> HelperUses | None:
    text_arguments: list[HelperUse] = []
    for node, scope in file.nodes(ast.Call):
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            origin = file.origin(node.func, scope)
            if origin is not None and origin.is_only_binding and not is_standard(origin.name.split(".")[0]):
                text_arguments.append(HelperUse(origin.name, first.value, node.lineno))
    result_attributes = _result_attributes(file)
    return (
        HelperUses(tuple(text_arguments), tuple(result_attributes))
        if text_arguments or result_attributes
        else None
    )


def _result_attributes(file: PythonFile) -> list[HelperUse]:
    results: dict[tuple[int, str], str] = {}
    for node, scope in file.nodes(ast.Assign):
        target = node.targets[0]
        if not isinstance(node.value, ast.Call) or not isinstance(target, ast.Name):
            continue
        origin = file.origin(node.value.func, scope) if dotted_name(node.value.func) else None
        is_resolved = (
            origin is not None and origin.is_only_binding and len(scope.bindings.get(target.id, ())) == 1
        )
        if origin is not None and is_resolved and not is_standard(origin.name.split(".")[0]):
            results[id(scope), target.id] = origin.name
    found: list[HelperUse] = []
    for item, scope in file.nodes(ast.Attribute) if results else ():
        if isinstance(item.value, ast.Name):
            owner = scope.owner_of(item.value.id)
            helper_name = results.get((id(owner), item.value.id)) if owner is not None else None
            if helper_name is not None:
                found.append(HelperUse(helper_name, item.attr, item.lineno))
    return found


HELPER_CONTRACTS = FactKind("helper contracts", ModuleHelpers, collect_helper_contracts)
HELPER_USES = FactKind("helper uses", HelperUses, collect_helper_uses)
