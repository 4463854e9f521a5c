"""Which texts a helper takes as its first argument, read from its source.

    def get_path(self, kind):
        if kind in self._folders:
            return self._folders[kind]
        raise ValueError(kind)

takes the keys of `self._folders`, and raises for any other. A function that hands its first parameter to
such a one, before it does anything else, takes the same. What cannot be read so is not known.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from argosy.source.classes import Class, Place, Tree
from argosy.source.flow import dotted

Function = ast.FunctionDef
_DEEPEST = 6


class Contracts:
    """The contracts of one tree's helpers. is_called: whether the program calls a method of this name."""

    def __init__(self, classes: Tree, is_called: Callable[[str], bool]) -> None:
        self._classes = classes
        self._is_called = is_called
        self._known: dict[Place, frozenset[str] | None] = {}

    def accepted(self, place: Place) -> frozenset[str] | None:
        """Return the texts that a function of the tree takes first; None where that is not known."""
        if place not in self._known:
            self._known[place] = None  # a circle is not known
            made = self._classes.definition(place)
            if isinstance(made, Function) and "." not in place.name:
                self._known[place] = self._of_function(place.module, made, None, 0)
        return self._known[place]

    def _of_function(
        self, module: str, made: Function, owner: Class | None, depth: int
    ) -> frozenset[str] | None:
        parameters = [*made.args.posonlyargs, *made.args.args][owner is not None :]
        body = made.body[1:] if ast.get_docstring(made, clean=False) is not None else made.body
        if not parameters or not body or made.decorator_list or depth > _DEEPEST:
            return None
        first = parameters[0].arg
        held = _table_asked(body, first)
        if held is not None:
            return self._keys(held, owner)
        call = _call_first(body[0])
        handed = call.args[0] if call is not None and call.args else None
        if call is None or not (isinstance(handed, ast.Name) and handed.id == first):
            return None
        return self._of_call(module, dotted(call.func), owner, depth + 1)

    def _of_call(self, module: str, called: str, owner: Class | None, depth: int) -> frozenset[str] | None:
        root, _, method = called.partition(".")
        if root == "self" and owner is not None:
            return self._of_method(owner, method, depth)
        place = self._classes.resolve(module, called)
        made = self._classes.definition(place) if place is not None else None
        if isinstance(made, Function) and place is not None and "." not in place.name:
            return self._of_function(place.module, made, None, depth)
        instance = self._instance(module, root)
        return self._of_method(instance, method, depth) if instance is not None else None

    def _of_method(self, owner: Class, name: str, depth: int) -> frozenset[str] | None:
        made = [item for item in owner.node.body if isinstance(item, Function) and item.name == name]
        if len(made) != 1 or owner.node.keywords:
            return None
        return self._of_function(owner.module, made[0], owner, depth)

    def _instance(self, module: str, name: str) -> Class | None:
        """Return the class of a module's only object of this name: `name = Class()`."""
        place = self._classes.resolve(module, name)
        made = self._classes.definition(place) if place is not None else None
        if place is None or not isinstance(made, ast.Assign) or not isinstance(made.value, ast.Call):
            return None
        return self._classes.find_class(place.module, dotted(made.value.func))

    def _keys(self, held: ast.expr, owner: Class | None) -> frozenset[str] | None:
        """Return the keys of the table that is asked: a literal, or an attribute that is set once."""
        name = dotted(held)
        if name.startswith("self.") and owner is not None:
            return self._keys_of_attribute(owner, name)
        return _literal_keys(held)

    def _keys_of_attribute(self, owner: Class, name: str) -> frozenset[str] | None:
        """Return the keys of a table that the class sets once, if nothing that is called changes it."""
        found: list[ast.expr] = []
        for method in owner.node.body:
            for node in ast.walk(method):
                if not isinstance(node, ast.Attribute) or dotted(node) != name:
                    continue
                if isinstance(node.ctx, ast.Store):
                    found.append(_value_of(method, node))
                elif _is_changed(method, node) and not self._is_idle(method):
                    return None
        return _literal_keys(found[0]) if len(found) == 1 else None

    def _is_idle(self, method: ast.AST) -> bool:
        return isinstance(method, Function) and method.name != "__init__" and not self._is_called(method.name)


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


def _literal_keys(node: ast.expr) -> frozenset[str] | None:
    if isinstance(node, ast.Dict):
        keys = node.keys
    elif isinstance(node, ast.Set | ast.Tuple | ast.List):
        keys = list(node.elts)
    else:
        return None
    words = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
    return frozenset(words) if len(words) == len(keys) else None


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
