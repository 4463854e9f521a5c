"""A helper fails for what its callers pass or read

Two forms, each reported once at the helper, with the number of callers. It raises for a string that callers
pass: `if kind in self._folders: return …`, else `raise`, and `"agents"` is not a key. Or its result, by its
annotation or its `return`s, lacks an attribute that callers read: `as_posix` of a string, `get` of a tuple.

Instead: decide once, at the helper. Where only a change of sys.path fails, or a string that is used as a
path, `argosy repair` proposes a fix for the callers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import msgspec

from argosy.refit.analysis.helper_contract import (
    AcceptedKeys,
    ModuleHelpers,
    find_accepted_keys,
    read_helpers,
)
from argosy.refit.core.fact import FactKind
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile, module_name
from argosy.refit.core.source_tree import SourceTree
from argosy.source.control_flow import dotted_name
from argosy.source.module_finder import is_standard

_TYPE_ATTRIBUTES = {kind.__name__: frozenset(dir(kind)) for kind in (str, dict, list, tuple)}


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report each argument and each attribute for which a helper fails once, with the number of callers."""
    rejected: dict[tuple[str, str, int], dict[str, list[str]]] = {}
    missing_attributes: dict[tuple[str, str, int, str], dict[str, list[str]]] = {}
    for path, uses in tree.facts(HELPER_USES).items():
        for use in uses.text_arguments:
            accepted = _accepted_keys(tree, use)
            if accepted is not None and use.used_name not in accepted.keys:
                helper_path = _path_of_module(tree, accepted.module)
                by_name = rejected.setdefault((helper_path, accepted.name, accepted.line), {})
                by_name.setdefault(use.used_name, []).append(path)
        for use in uses.result_attributes:
            helper = _find_helper(tree, use)
            if helper is not None and helper[3] and use.used_name not in _TYPE_ATTRIBUTES[helper[3]]:
                missing_attributes.setdefault(helper, {}).setdefault(use.used_name, []).append(path)
    for (helper_path, name, line), by_name in sorted(rejected.items()):
        for used_name, paths in sorted(by_name.items()):
            message = f"`{name}` raises for `{used_name}`, which {_format_counts(paths)} pass"
            yield Finding(helper_path, line, 1, "", message, symbol=f"{name}:{used_name}")
    for (helper_path, name, line, return_type), by_name in sorted(missing_attributes.items()):
        for used_name, paths in sorted(by_name.items()):
            message = (
                f"`{name}` returns {return_type}, which has no `{used_name}`: {_format_counts(paths)} read it"
            )
            yield Finding(helper_path, line, 1, "", message, symbol=f"{name}.{used_name}")


def _format_counts(paths: list[str]) -> str:
    files = len(set(paths))
    calls = "1 call" if len(paths) == 1 else f"{len(paths)} calls"
    return f"{calls} in {files} file{'s' if files > 1 else ''}"


def _split_helper_name(tree: SourceTree, helper_name: str) -> tuple[str, str] | None:
    """Return module and name of a helper; the module is the longest prefix that the tree has."""
    parts = helper_name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:count])
        if module in tree.compute_once(_paths_by_module):
            return module, ".".join(parts[count:])
    return None


def _accepted_keys(tree: SourceTree, use: HelperUse) -> AcceptedKeys | None:
    helper = _split_helper_name(tree, use.helper_name)
    if helper is None:
        return None

    def lookup(module: str) -> ModuleHelpers | None:
        return tree.fact(HELPER_CONTRACTS, _path_of_module(tree, module))

    def resolve(module: str, name: str) -> tuple[str, str] | None:
        own = lookup(module)
        if own is not None and (name in own.functions or name in own.objects or _is_class(own, name)):
            return module, name
        return None

    return find_accepted_keys(lookup, resolve, *helper)


def _is_class(helpers: ModuleHelpers, name: str) -> bool:
    return any(function.startswith(f"{name}.") for function in helpers.functions)


def _find_helper(tree: SourceTree, use: HelperUse) -> tuple[str, str, int, str] | None:
    target = _split_helper_name(tree, use.helper_name)
    helpers = tree.fact(HELPER_CONTRACTS, _path_of_module(tree, target[0])) if target is not None else None
    contract = helpers.functions.get(target[1]) if target is not None and helpers is not None else None
    if target is None or contract is None:
        return None
    return _path_of_module(tree, target[0]), target[1], contract.line, contract.return_type


def _paths_by_module(tree: SourceTree) -> Mapping[str, str]:
    """Return the path of each module that has helpers, by its dotted name from the root."""
    return {module_name(path): path for path in tree.facts(HELPER_CONTRACTS)}


def _path_of_module(tree: SourceTree, module: str) -> str:
    return tree.compute_once(_paths_by_module).get(module, "")


# -- uses of helpers ---------------------------------------------------------------------------------


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


RULE = Rule(
    code="S106",
    title="helper that fails its callers",
    action="review",
    fact_kinds=(HELPER_CONTRACTS, HELPER_USES),
    check_tree=check,
)

_TABLE = (
    "class Paths:\n    def __init__(self):\n        self.known = {'logs': 1}\n\n"
    "    def get(self, kind):  # <--\n        if kind in self.known:\n            return self.known[kind]\n"
    "        raise ValueError(kind)\n\n\npaths = Paths()\n\n\ndef get(kind):\n    return paths.get(kind)\n"
)
MUST = (
    RuleCase(files={"lib.py": _TABLE, "main.py": "from lib import get\nget('logs')\nget('data')\n"}),
    RuleCase(
        files={
            "lib.py": "def root() -> str:  # <--\n    return ROOT\n",
            "main.py": "from lib import root\nhere = root()\nprint(here.as_posix(), here.upper())\n",
        }
    ),
    RuleCase(
        files={
            "lib.py": "def place(name):  # <--\n    return name, 1\n",
            "main.py": "import lib\n\ndef f():\n    found = lib.place('x')\n    return found.get('port')\n",
        }
    ),
)
MUST_NOT = (
    RuleCase(
        files={"lib.py": _TABLE.replace("  # <--", ""), "main.py": "from lib import get\nget('logs')\n"}
    ),
    RuleCase(
        files={
            "lib.py": "KNOWN = make()\n\n\n"
            "def get(kind):\n    if kind in KNOWN:\n        return 1\n    raise ValueError\n",
            "main.py": "from lib import get\nget('data')\n",
        }
    ),
    RuleCase(
        files={
            "lib.py": "def place(name):\n    return (name, 1) if name else {}\n",
            "main.py": "from lib import place\nfound = place('x')\nfound.get('port')\n",
        }
    ),
    RuleCase(
        files={
            "lib.py": "def root() -> str:\n    return ROOT\n",
            "main.py": "from lib import root\nhere = root()\nhere = other(here)\nprint(here.as_posix())\n",
        }
    ),
)
