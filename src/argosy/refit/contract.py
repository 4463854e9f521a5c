"""What helpers take and give, read from their source: texts they take first, the type of what they return.

    def get_path(self, kind):
        if kind in self._folders:
            return self._folders[kind]
        raise ValueError(kind)

takes the keys of `self._folders`, and raises for any other. A function that hands its first parameter to
such a one, before it does anything else, takes the same. What cannot be read so is not known.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import msgspec

from argosy.source.flow import dotted
from argosy.source.nodes import children

_DEEPEST = 6
_OS_PATH = frozenset(
    f"os.path.{name}" for name in ("abspath", "dirname", "expanduser", "join", "normpath", "realpath")
)
_SAID = {"str": "str", "dict": "dict", "list": "list", "tuple": "tuple", "Dict": "dict", "List": "list"}


class Helper(msgspec.Struct, frozen=True, array_like=True):
    """A function of a module, or a method.

    keys: the texts that it takes first, None where that is not known; it raises for others. grown_by: the
    methods of its class that may add some. hands_to: what it gives its first parameter to before all else,
    as written. gives: `str`, `dict`, `list` or `tuple`, empty where that is not known.
    """

    line: int
    keys: tuple[str, ...] | None
    grown_by: tuple[str, ...]
    hands_to: str
    gives: str


class Helpers(msgspec.Struct, frozen=True, array_like=True):
    """The helpers of a module by qualified name, and its objects: the class of each `name = Class()`."""

    functions: dict[str, Helper]
    objects: dict[str, str]


class Accepted(msgspec.Struct, frozen=True):
    """Which texts a helper takes. module, name, line: of the function that raises for all others."""

    module: str
    name: str
    line: int
    keys: frozenset[str]
    grown_by: tuple[str, ...]


Look = Callable[[str], Helpers | None]
Follow = Callable[[str, str], tuple[str, str] | None]


def read_helpers(tree: ast.Module) -> Helpers:
    """Return what is known of a module's functions and of the methods of its classes."""
    functions: dict[str, Helper] = {}
    objects: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = _read(node, None)
        elif isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    functions[f"{node.name}.{item.name}"] = _read(item, node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            for target in node.targets:
                if isinstance(target, ast.Name) and dotted(node.value.func):
                    objects[target.id] = dotted(node.value.func)
    return Helpers({name: item for name, item in functions.items() if _is_known(item)}, objects)


def accepted(look: Look, follow: Follow, module: str, name: str) -> Accepted | None:
    """Return which texts a function takes first, followed to the one that raises; None where not known.

    look: the helpers of a module of the tree. follow: module and name that a name of a module leads to.
    """
    for _ in range(_DEEPEST):
        helpers = look(module)
        made = helpers.functions.get(name) if helpers is not None else None
        if helpers is None or made is None:
            return None
        if made.keys is not None:
            return Accepted(module, name, made.line, frozenset(made.keys), made.grown_by)
        root, _, method = made.hands_to.partition(".")
        if root == "self" and "." in name:
            name = f"{name.partition('.')[0]}.{method}"
            continue
        place = _place(look, follow, module, root, method)
        if place is None:
            return None
        module, name = place
    return None


def _place(look: Look, follow: Follow, module: str, root: str, method: str) -> tuple[str, str] | None:
    """Return the function that `root` or `root.method` means: of an object, of a module, or itself."""
    found = follow(module, root)
    if found is None:
        return None
    helpers = look(found[0])
    if not method or helpers is None:
        return found
    cls = helpers.objects.get(found[1])
    home = follow(found[0], cls) if cls is not None else None
    return (home[0], f"{home[1]}.{method}") if home is not None else None


def _is_known(item: Helper) -> bool:
    return item.keys is not None or bool(item.hands_to) or bool(item.gives)


def _read(made: ast.FunctionDef, owner: ast.ClassDef | None) -> Helper:
    decorators = {dotted(item) for item in made.decorator_list}
    is_bound = owner is not None and "staticmethod" not in decorators
    gives = _gives(made) if decorators <= {"staticmethod", "classmethod"} else ""
    parameters = [*made.args.posonlyargs, *made.args.args][is_bound:]
    body = made.body[1:] if ast.get_docstring(made, clean=False) is not None else made.body
    if not parameters or not body or decorators:
        return Helper(made.lineno, None, (), "", gives)
    first = parameters[0].arg
    table = _table_asked(body, first)
    if table is not None:
        keys, grown_by = _keys(table, owner)
        return Helper(made.lineno, keys, grown_by, "", gives)
    call = _call_first(body[0])
    handed = call.args[0] if call is not None and call.args else None
    is_handed = isinstance(handed, ast.Name) and handed.id == first
    return Helper(made.lineno, None, (), dotted(call.func) if call is not None and is_handed else "", gives)


def _table_asked(body: list[ast.stmt], name: str) -> ast.expr | None:
    """Return what `name` is looked up in, where a function raises for all that is not there.

    Two forms: `if name in T: return …` and then `raise`, or `if name not in T: raise` first.
    """
    first = body[0]
    if not isinstance(first, ast.If) or first.orelse or not isinstance(first.test, ast.Compare):
        return None
    test, last = first.test, first.body[-1]
    if len(test.ops) != 1 or not (isinstance(test.left, ast.Name) and test.left.id == name):
        return None
    if isinstance(test.ops[0], ast.In):
        is_closed = isinstance(last, ast.Return) and len(body) == 2 and isinstance(body[1], ast.Raise)
    else:
        is_closed = (
            isinstance(test.ops[0], ast.NotIn) and len(first.body) == 1 and isinstance(last, ast.Raise)
        )
    return test.comparators[0] if is_closed else None


def _call_first(node: ast.stmt) -> ast.Call | None:
    value = node.value if isinstance(node, ast.Return | ast.Assign | ast.Expr) else None
    return value if isinstance(value, ast.Call) else None


def _keys(table: ast.expr, owner: ast.ClassDef | None) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the keys of a table, a literal or an attribute that is set once, and who may add some."""
    name = dotted(table)
    if not name.startswith("self.") or owner is None:
        return _literal_keys(table), ()
    found: list[ast.expr] = []
    growing: set[str] = set()
    for method in owner.body:
        for node in ast.walk(method):
            if not isinstance(node, ast.Attribute) or dotted(node) != name:
                continue
            if isinstance(node.ctx, ast.Store):
                found.append(_value_of(method, node))
            elif _is_changed(method, node):
                growing.add(getattr(method, "name", "__init__"))
    if len(found) != 1 or "__init__" in growing:
        return None, ()
    return _literal_keys(found[0]), tuple(sorted(growing))


def _literal_keys(node: ast.expr) -> tuple[str, ...] | None:
    if isinstance(node, ast.Dict):
        keys = node.keys
    elif isinstance(node, ast.Set | ast.Tuple | ast.List):
        keys = list(node.elts)
    else:
        return None
    words = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
    return tuple(words) if len(words) == len(keys) else None


def _value_of(method: ast.AST, target: ast.Attribute) -> ast.expr:
    """Return what an attribute is set to; itself, which is no table, where that is not told."""
    for node in ast.walk(method):
        if isinstance(node, ast.Assign) and target in node.targets:
            return node.value
        if isinstance(node, ast.AnnAssign) and node.target is target and node.value is not None:
            return node.value
    return target


def _is_changed(method: ast.AST, held: ast.Attribute) -> bool:
    """Return whether a table gets or loses keys here, or is handed to something that may do so."""
    for node in ast.walk(method):
        if isinstance(node, ast.Subscript) and node.value is held:
            return not isinstance(node.ctx, ast.Load)
        if isinstance(node, ast.Attribute) and node.value is held:
            return node.attr not in ("get", "items", "keys", "values")
        if isinstance(node, ast.Compare) and held in node.comparators:
            return False
        if isinstance(node, ast.For | ast.comprehension) and node.iter is held:
            return False
    return True


def _gives(made: ast.FunctionDef) -> str:
    """Return the type that a function says or, where it says none, surely returns."""
    if made.returns is not None:
        node = made.returns.value if isinstance(made.returns, ast.Subscript) else made.returns
        said = node.value if isinstance(node, ast.Constant) else dotted(node).rpartition(".")[2]
        return _SAID.get(str(said), "")
    last = made.body[-1] if made.body else None
    if not isinstance(last, ast.Return) or not _kind(last.value):
        return ""
    kinds = {_kind(value) for value in _returned(made)}
    return kinds.pop() if len(kinds) == 1 else ""


def _returned(made: ast.FunctionDef) -> Iterator[ast.expr | None]:
    """Yield what a function's own `return`s give; None for each that tells nothing, also for a generator."""
    todo: list[ast.AST] = list(made.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Return):
            yield node.value
        elif isinstance(node, ast.Yield | ast.YieldFrom):
            yield None
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            todo += children(node)


def _kind(value: ast.expr | None) -> str:
    if isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Call) and dotted(value.func) in _OS_PATH):
        return "str"
    if isinstance(value, ast.Tuple):
        return "tuple"
    if isinstance(value, ast.Dict):
        return "dict"
    return ""
