"""Uses the fallback for an option that is not given and is passed on as None.

`Agent(port=args.port)` where `--port` has no default, and `int(keywords.get("port", 5590))` in the
constructor: the key exists with the value None, and `int(None)` is a TypeError in every start without the
option. The fallback is used for None as well. A given value is read as before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.repair_rule import RepairCandidate, RepairRule, StartupCase
from argosy.refit.transaction.text_edit import TextEdit
from argosy.source.control_flow import dotted_name

_NUMBER_TYPES = frozenset({"int", "float"})
_ENVIRONMENT_READERS = frozenset({"os.environ.get", "os.getenv"})


def may_apply(view: ModuleView) -> bool:
    return "parse_args" in view.text and ".get(" in view.text


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    passed = set(_options_passed(view))
    for node in view.body:
        if not isinstance(node, ast.ClassDef) or len(view.scope.bindings.get(node.name, ())) != 1:
            continue
        keys = {key for name, key in passed if name == node.name}
        for constructor in node.body:
            if (
                isinstance(constructor, ast.FunctionDef)
                and constructor.name == "__init__"
                and constructor.args.kwarg
            ):
                yield from _in_constructor(view, constructor, constructor.args.kwarg.arg, keys)


def _options_passed(view: ModuleView) -> Iterator[tuple[str, str]]:
    """Yield the class and the keyword of each option that may be passed to it as None."""
    unset = _unset_options(view)
    parsed = _parsed_names(view)
    for call, _ in view.index.of_type(ast.Call):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            for keyword in call.keywords:
                value = keyword.value
                if (
                    keyword.arg
                    and isinstance(value, ast.Attribute)
                    and isinstance(value.value, ast.Name)
                    and value.value.id in parsed
                    and value.attr in unset
                ):
                    yield call.func.id, keyword.arg


def _parsed_names(view: ModuleView) -> set[str]:
    """Return the names that are only bound to a parsed command line."""
    candidates: dict[str, bool] = {}
    for node, _ in view.index.of_type(ast.Assign):
        is_parsed = (
            isinstance(node.value, ast.Call)
            and dotted_name(node.value.func).endswith(".parse_args")
            and not node.value.keywords
        )
        for target in node.targets:
            if isinstance(target, ast.Name):
                candidates[target.id] = candidates.get(target.id, True) and is_parsed
    return {name for name, is_parsed in candidates.items() if is_parsed}


def _unset_options(view: ModuleView) -> set[str]:
    """Return the options that are None if the command line does not give them."""
    found: dict[str, bool] = {}
    for call, _ in view.index.of_type(ast.Call):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr == "set_defaults":
            return set()
        if call.func.attr == "add_argument" and (name := _option_name(call)):
            found[name] = found.get(name, True) and _is_none_unless_given(call)
    return {name for name, is_unset in found.items() if is_unset}


def _option_name(call: ast.Call) -> str:
    texts = [
        item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)
    ]
    long = next((text for text in texts if text.startswith("--")), "")
    return long[2:].replace("-", "_")


def _is_none_unless_given(call: ast.Call) -> bool:
    known = {"type", "help", "metavar", "choices"}
    for keyword in call.keywords:
        is_none = isinstance(keyword.value, ast.Constant) and keyword.value.value is None
        is_false = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        allowed = keyword.arg in known or (keyword.arg == "default" and is_none)
        if not allowed and not (keyword.arg == "required" and is_false):
            return False
    return True


def _in_constructor(
    view: ModuleView, constructor: ast.FunctionDef, kwargs_name: str, keys: set[str]
) -> Iterator[RepairCandidate]:
    """Yield the candidates for a constructor whose keywords are collected in `kwargs_name`."""
    nodes = list(ast.walk(constructor))
    if not keys or any(_mutates_kwargs(view, node, kwargs_name) for node in nodes):
        return
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NUMBER_TYPES:
            inner = node.args[0] if len(node.args) == 1 and not node.keywords else None
            if (
                isinstance(inner, ast.Call)
                and dotted_name(inner.func) == f"{kwargs_name}.get"
                and len(inner.args) == 2
            ):
                key, fallback = inner.args
                is_passed = isinstance(key, ast.Constant) and key.value in keys
                if is_passed and _has_no_side_effects(fallback) and not _is_caught(view, node):
                    yield _build_candidate(view, inner, key, fallback, kwargs_name)


def _build_candidate(
    view: ModuleView, inner: ast.Call, key: ast.expr, fallback: ast.expr, kwargs_name: str
) -> RepairCandidate:
    key_text, fallback_text = view.source_segment(key), view.source_segment(fallback)
    text = f"{kwargs_name}[{key_text}] if {kwargs_name}.get({key_text}) is not None else {fallback_text}"
    description = f"{key_text} may be passed as None, which is not a number: the fallback is used then"
    return RepairCandidate(
        "none-for-default", inner.lineno, (TextEdit(*view.span(inner), text),), description
    )


def _mutates_kwargs(view: ModuleView, node: ast.AST, kwargs_name: str) -> bool:
    """Return whether a node does more with the collected keywords than read or pass them."""
    if not isinstance(node, ast.Name) or node.id != kwargs_name:
        return False
    parent = view.parents[node]
    if isinstance(parent, ast.Attribute):
        return parent.attr != "get"
    if isinstance(parent, ast.Subscript):
        return not isinstance(parent.ctx, ast.Load)
    return not isinstance(parent, ast.keyword)


def _has_no_side_effects(fallback: ast.expr) -> bool:
    """Return whether skipping the evaluation of an expression has no effect."""
    allowed = (ast.Constant, ast.Name, ast.Attribute, ast.expr_context)
    for node in ast.walk(fallback):
        if isinstance(node, ast.Call):
            if dotted_name(node.func) not in _ENVIRONMENT_READERS and not dotted_name(node.func).endswith(
                ".get"
            ):
                return False
        elif not isinstance(node, allowed):
            return False
    return True


def _is_caught(view: ModuleView, node: ast.AST) -> bool:
    while (parent := view.parents.get(node)) is not None and not isinstance(parent, ast.FunctionDef):
        if isinstance(parent, ast.Try):
            return True
        node = parent
    return False


def _sample(read: str, option: str = "'--port', type=int", more: str = "") -> str:
    return (
        "import argparse\nimport os\n\n\nclass Work(Base):\n    def __init__(self, name, **more):\n"
        f"        {read}\n        super().__init__(name, **more)\n\n\n"
        f"parser = argparse.ArgumentParser()\nparser.add_argument({option})\n{more}"
        "args = parser.parse_args()\nWork('a', port=args.port)\n"
    ).replace("import os\n", "import os\n\nfrom lib import Base\n")


_LIB = {"lib.py": "class Base: pass\n"}
MUST_CHANGE = (
    StartupCase(
        _sample("port = int(more.get('port', os.environ.get('PORT', 5590)))"),
        _sample("port = int(more['port'] if more.get('port') is not None else os.environ.get('PORT', 5590))"),
        files=_LIB,
    ),
    StartupCase(
        _sample("self.rate = float(more.get('port', 1))", "'--port', default=None"),
        _sample(
            "self.rate = float(more['port'] if more.get('port') is not None else 1)", "'--port', default=None"
        ),
        files=_LIB,
    ),
)
_READ = "port = int(more.get('port', 5590))"
MUST_NOT_CHANGE = (
    # The command line always has a value.
    StartupCase(_sample(_READ, "'--port', type=int, default=1"), files=_LIB),
    StartupCase(_sample(_READ, "'--port', type=int, required=True"), files=_LIB),
    StartupCase(_sample(_READ, "'--port', action='store_true'"), files=_LIB),
    StartupCase(_sample(_READ, more="parser.set_defaults(port=1)\n"), files=_LIB),
    # The code handles None, or None is not passed.
    StartupCase(_sample("port = more.get('port', 5590)"), files=_LIB),
    StartupCase(_sample("port = int(more.get('port'))"), files=_LIB),
    StartupCase(_sample("port = int(more.get('other', 5590))"), files=_LIB),
    # The keyword is set before it is read.
    StartupCase(_sample(f"more.setdefault('port', 1)\n        {_READ}"), files=_LIB),
    # Already handled.
    StartupCase(
        _sample(f"try:\n            {_READ}\n        except TypeError:\n            pass"), files=_LIB
    ),
    # The fallback has a side effect.
    StartupCase(_sample("port = int(more.get('port', count.pop()))", more="count = [1]\n"), files=_LIB),
)

NONE_FOR_DEFAULT = RepairRule("none-for-default", propose, may_apply, MUST_CHANGE, MUST_NOT_CHANGE)
