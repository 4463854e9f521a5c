"""An option that nobody gave is passed on as None, and takes the place of the fallback.

`Agent(port=args.port)` where `--port` has no default, and `int(keywords.get("port", 5590))` in the
constructor: the key is there, so its value is None, and `int(None)` is a TypeError in every start without
the option. The fallback is taken for None as well. A value that is given is read as before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule
from argosy.source.flow import dotted

NAME = "none-for-default"
_NUMBERS = frozenset({"int", "float"})
_READERS = frozenset({"os.environ.get", "os.getenv"})


def may_apply(view: View) -> bool:
    return "parse_args" in view.text and ".get(" in view.text


def propose(view: View, around: Around) -> Iterator[Candidate]:
    passed = set(_passed(view))
    for node in view.body:
        if not isinstance(node, ast.ClassDef) or len(view.scope.bindings.get(node.name, ())) != 1:
            continue
        keys = {key for name, key in passed if name == node.name}
        for made in node.body:
            if isinstance(made, ast.FunctionDef) and made.name == "__init__" and made.args.kwarg:
                yield from _in_constructor(view, made, made.args.kwarg.arg, keys)


def _passed(view: View) -> Iterator[tuple[str, str]]:
    """Yield the class and the keyword of each option that may be passed to it as None."""
    unset = _unset_options(view)
    parsed = _parsed_names(view)
    for call, _ in view.index.of(ast.Call):
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


def _parsed_names(view: View) -> set[str]:
    """Return the names that stand for nothing but a parsed command line."""
    made: dict[str, bool] = {}
    for node, _ in view.index.of(ast.Assign):
        is_parsed = (
            isinstance(node.value, ast.Call)
            and dotted(node.value.func).endswith(".parse_args")
            and not node.value.keywords
        )
        for target in node.targets:
            if isinstance(target, ast.Name):
                made[target.id] = made.get(target.id, True) and is_parsed
    return {name for name, is_parsed in made.items() if is_parsed}


def _unset_options(view: View) -> set[str]:
    """Return the options that are None when the command line does not give them."""
    found: dict[str, bool] = {}
    for call, _ in view.index.of(ast.Call):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr == "set_defaults":
            return set()
        if call.func.attr == "add_argument" and (name := _option(call)):
            found[name] = found.get(name, True) and _is_none_unless_given(call)
    return {name for name, is_unset in found.items() if is_unset}


def _option(call: ast.Call) -> str:
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


def _in_constructor(view: View, made: ast.FunctionDef, words: str, keys: set[str]) -> Iterator[Candidate]:
    """Yield what to change in a constructor whose keywords are collected under the name `words`."""
    nodes = list(ast.walk(made))
    if not keys or any(_changes(view, node, words) for node in nodes):
        return
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NUMBERS:
            inner = node.args[0] if len(node.args) == 1 and not node.keywords else None
            if isinstance(inner, ast.Call) and dotted(inner.func) == f"{words}.get" and len(inner.args) == 2:
                key, fallback = inner.args
                is_passed = isinstance(key, ast.Constant) and key.value in keys
                if is_passed and _is_harmless(fallback) and not _is_caught(view, node):
                    yield _candidate(view, inner, key, fallback, words)


def _candidate(view: View, inner: ast.Call, key: ast.expr, fallback: ast.expr, words: str) -> Candidate:
    word, otherwise = view.segment(key), view.segment(fallback)
    text = f"{words}[{word}] if {words}.get({word}) is not None else {otherwise}"
    said = f"{word} may be passed as None, which is no number: the fallback is taken then"
    return Candidate(NAME, inner.lineno, (Edit(*view.span(inner), text),), said)


def _changes(view: View, node: ast.AST, words: str) -> bool:
    """Return whether a node does more with the collected keywords than read or pass them."""
    if not isinstance(node, ast.Name) or node.id != words:
        return False
    parent = view.parents[node]
    if isinstance(parent, ast.Attribute):
        return parent.attr != "get"
    if isinstance(parent, ast.Subscript):
        return not isinstance(parent.ctx, ast.Load)
    return not isinstance(parent, ast.keyword)


def _is_harmless(fallback: ast.expr) -> bool:
    """Return whether it makes no difference that an expression is not evaluated."""
    allowed = (ast.Constant, ast.Name, ast.Attribute, ast.expr_context)
    for node in ast.walk(fallback):
        if isinstance(node, ast.Call):
            if dotted(node.func) not in _READERS and not dotted(node.func).endswith(".get"):
                return False
        elif not isinstance(node, allowed):
            return False
    return True


def _is_caught(view: View, node: ast.AST) -> bool:
    while (parent := view.parents.get(node)) is not None and not isinstance(parent, ast.FunctionDef):
        if isinstance(parent, ast.Try):
            return True
        node = parent
    return False


def _tree(read: str, option: str = "'--port', type=int", more: str = "") -> str:
    return (
        "import argparse\nimport os\n\n\nclass Work(Base):\n    def __init__(self, name, **more):\n"
        f"        {read}\n        super().__init__(name, **more)\n\n\n"
        f"parser = argparse.ArgumentParser()\nparser.add_argument({option})\n{more}"
        "args = parser.parse_args()\nWork('a', port=args.port)\n"
    ).replace("import os\n", "import os\n\nfrom lib import Base\n")


_LIB = {"lib.py": "class Base: pass\n"}
MUST = (
    Case(
        _tree("port = int(more.get('port', os.environ.get('PORT', 5590)))"),
        _tree("port = int(more['port'] if more.get('port') is not None else os.environ.get('PORT', 5590))"),
        files=_LIB,
    ),
    Case(
        _tree("self.rate = float(more.get('port', 1))", "'--port', default=None"),
        _tree(
            "self.rate = float(more['port'] if more.get('port') is not None else 1)", "'--port', default=None"
        ),
        files=_LIB,
    ),
)
_READ = "port = int(more.get('port', 5590))"
MUST_NOT = (
    # The command line always has it.
    Case(_tree(_READ, "'--port', type=int, default=1"), files=_LIB),
    Case(_tree(_READ, "'--port', type=int, required=True"), files=_LIB),
    Case(_tree(_READ, "'--port', action='store_true'"), files=_LIB),
    Case(_tree(_READ, more="parser.set_defaults(port=1)\n"), files=_LIB),
    # It says something else with None, or none is passed.
    Case(_tree("port = more.get('port', 5590)"), files=_LIB),
    Case(_tree("port = int(more.get('port'))"), files=_LIB),
    Case(_tree("port = int(more.get('other', 5590))"), files=_LIB),
    # The keyword is set before it is read.
    Case(_tree(f"more.setdefault('port', 1)\n        {_READ}"), files=_LIB),
    # Its author has thought of it.
    Case(_tree(f"try:\n            {_READ}\n        except TypeError:\n            pass"), files=_LIB),
    # What would have been done is not done.
    Case(_tree("port = int(more.get('port', count.pop()))", more="count = [1]\n"), files=_LIB),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
