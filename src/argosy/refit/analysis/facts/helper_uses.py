"""The helpers of a module, and what files ask of helpers."""

from __future__ import annotations

import ast

import msgspec

from argosy.refit.analysis.helper_contract import ModuleHelpers, read_helpers
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.module_finder import is_standard


class HelperUse(msgspec.Struct, frozen=True, array_like=True):
    """One call. called: where its name leads (`lib.paths.join_path`). word: the text that it is handed
    first, or the attribute that is read of what it gives."""

    helper_name: str
    used_name: str
    line: int


class HelperUses(msgspec.Struct, frozen=True, array_like=True):
    """texts: handed to helpers. attributes: read of what they give, through a name that is bound once."""

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


HELPER_CONTRACTS = FactKind("helpers", ModuleHelpers, collect_helper_contracts)
HELPER_USES = FactKind("demands", HelperUses, collect_helper_uses)
