"""The codes of errors and warnings, with their messages: read from the calls that make them.

A code is the second argument of `Fault`, or an argument that a function passes on to it; such a function is
found by its parameter, and its callers are read in the same way.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from markdown import code, table

import argosy

ROOT = Path(argosy.__file__).parent
_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*|[A-Z]\d{3}")

AREAS = {
    "fleet": ("fleet-file", "Errors of the fleet file", ("fleet", "source")),
    "engine": ("engine", "Errors of the engine", ("engine",)),
    "agent": ("agent", "Errors of agents, addresses and keys", ("agent", "wire")),
    "hub": ("hub", "Errors of the hub", ("hub",)),
    "image": ("images", "Errors of images and containers", ("image",)),
    "refit": ("refit", "Errors of audit, refit, repair and claims", ("refit",)),
    "track": ("track", "Errors of the tracker", ("track",)),
    "cli": ("commands", "Errors of the command line", ("cli",)),
}


class Parameter(NamedTuple):
    """Where a function takes what it passes on. place: among its parameters, without `self`."""

    place: int
    name: str


class Wrapper(NamedTuple):
    """A function that makes a fault of its parameters. message: None when it makes the message itself."""

    code: Parameter
    message: Parameter | None


class Use(NamedTuple):
    """A code, and a message that it has."""

    area: str
    code: str
    message: str


Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(ast.NodeVisitor):
    """What is read of a module: its calls, each with the function around it, and its text constants."""

    def __init__(self, text: str) -> None:
        self.calls: list[tuple[ast.Call, Function | None]] = []
        self.constants: dict[str, str] = {}
        self._function: Function | None = None
        self._assigned: dict[tuple[Function | None, str], list[ast.expr]] = defaultdict(list)
        self.visit(ast.parse(text))

    def assigned(self, function: Function | None, name: str) -> list[ast.expr]:
        """Return what a function assigns to a name."""
        return self._assigned[function, name]

    def visit_FunctionDef(self, node: Function) -> None:
        outer, self._function = self._function, node
        self.generic_visit(node)
        self._function = outer

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Call(self, node: ast.Call) -> None:
        self.calls.append((node, self._function))
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assign(target, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assign(node.target, node.value)
            self.generic_visit(node)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._assigned[self._function, target.id].append(value)
            if self._function is None and isinstance(value, ast.Constant) and isinstance(value.value, str):
                self.constants[target.id] = value.value


def pages() -> dict[str, str]:
    """Return the pages by path: the index, and one for each area."""
    uses = sorted(set(_uses()))
    result = {"reference/errors/index.md": _index(uses)}
    for area, (name, title, _) in AREAS.items():
        messages: dict[str, set[str]] = defaultdict(set)
        for use in uses:
            if use.area == area:
                messages[use.code] |= {use.message} if use.message else set()
        rows = [(code(each), "<br>".join(sorted(texts))) for each, texts in sorted(messages.items())]
        result[f"reference/errors/{name}.md"] = f"# {title}\n\n" + table(("code", "message"), rows)
    return result


def _index(uses: list[Use]) -> str:
    pages_of: dict[str, list[str]] = defaultdict(list)
    for use in uses:
        link = f"[{AREAS[use.area][0]}]({AREAS[use.area][0]}.md)"
        if link not in pages_of[use.code]:
            pages_of[use.code].append(link)
    text = (ROOT / "fault.py").read_text()
    tree = (ast.get_docstring(ast.parse(text)) or "").split("\n\n", 1)[1]
    return (
        "# Error codes\n\n"
        "Every error and warning has a code; with `--json` it is in `errors` of `error/1`, or in"
        " `errors` and `warnings` of `check/1`, with place, message and hint. In messages, `…` stands for"
        f" a name or a number.\n\n```text\n{tree}\n```\n\n"
        + table(
            ("code", "page"), [(code(each), ", ".join(links)) for each, links in sorted(pages_of.items())]
        )
    )


def _uses() -> Iterator[Use]:
    texts = {path: path.read_text() for path in sorted(ROOT.rglob("*.py"))}
    modules = {path: Module(text) for path, text in texts.items() if "Fault" in text or "fault" in text}
    constants = {name: text for module in modules.values() for name, text in module.constants.items()}
    wrappers = _wrappers(modules.values())
    for path, module in modules.items():
        for call, function in module.calls:
            wrapper = wrappers.get(_callee(call))
            if wrapper is None:
                continue
            message = wrapper.message and _argument(call, wrapper.message)
            messages = module.assigned(function, message.id) if isinstance(message, ast.Name) else [message]
            for each in filter(_KEBAB.fullmatch, _texts(_argument(call, wrapper.code), constants)):
                yield from (Use(_area(path), each, _text(text)) for text in messages or [None])


def _area(path: Path) -> str:
    top = path.relative_to(ROOT).parts[0]
    return next((area for area, (_, _, tops) in AREAS.items() if top in tops), "cli")


def _wrappers(modules: Collection[Module]) -> dict[str, Wrapper]:
    """Return the functions that make a fault of a code they are given, and `Fault` itself."""
    found = {"Fault": Wrapper(Parameter(1, "code"), Parameter(2, "message"))}
    calls = [
        (call, function)
        for module in modules
        for call, function in module.calls
        if function is not None and "code" in _parameters(function)
    ]
    for _ in range(3):  # a wrapper of a wrapper of a wrapper
        for call, function in calls:
            names = _parameters(function)
            inner = found.get(_callee(call))
            taken = inner and _parameter(_argument(call, inner.code), names)
            if inner and taken and taken.name == "code":
                message = inner.message and _parameter(_argument(call, inner.message), names)
                found.setdefault(function.name, Wrapper(taken, message or None))
    return found


def _parameters(function: Function) -> list[str]:
    names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def _parameter(node: ast.expr | None, names: list[str]) -> Parameter | None:
    if isinstance(node, ast.Name) and node.id in names:
        return Parameter(names.index(node.id), node.id)
    return None


def _callee(call: ast.Call) -> str:
    function = call.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _argument(call: ast.Call, parameter: Parameter) -> ast.expr | None:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if parameter.name in named:
        return named[parameter.name]
    return call.args[parameter.place] if len(call.args) > parameter.place else None


def _texts(node: ast.expr | None, constants: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id in constants:
        yield constants[node.id]
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body, constants), *_texts(node.orelse, constants))


def _text(node: ast.expr | None) -> str:
    """Return a message with `…` for what is inserted; empty when it is built elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return _text(node.body) or _text(node.orelse)
    return ""
