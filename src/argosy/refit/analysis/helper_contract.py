"""The contract of helper functions, read from their source: accepted first arguments, type of the result.

    def get_path(self, kind):
        if kind in self._folders:
            return self._folders[kind]
        raise ValueError(kind)

accepts the keys of `self._folders`, and raises for any other. A function that first passes its first
parameter to such a function accepts the same keys. For other forms the contract is unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import msgspec

from argosy.source.ast_children import children
from argosy.source.control_flow import dotted_name

_MAX_DEPTH = 6
_OS_PATH = frozenset(
    f"os.path.{name}" for name in ("abspath", "dirname", "expanduser", "join", "normpath", "realpath")
)
_TYPE_NAMES = {"str": "str", "dict": "dict", "list": "list", "tuple": "tuple", "Dict": "dict", "List": "list"}


class HelperContract(msgspec.Struct, frozen=True, array_like=True):
    """A function of a module, or a method.

    accepted_keys: the strings that it accepts as its first argument, None if unknown; it raises for others.
    extended_by: the methods of its class that may add keys. forwards_to: the function, as written, that it
    passes its first parameter to before anything else. return_type: `str`, `dict`, `list` or `tuple`, empty
    if unknown.
    """

    line: int
    accepted_keys: tuple[str, ...] | None
    extended_by: tuple[str, ...]
    forwards_to: str
    return_type: str


class ModuleHelpers(msgspec.Struct, frozen=True, array_like=True):
    """The helpers of a module by qualified name, and its objects: the class of each `name = Class()`."""

    functions: dict[str, HelperContract]
    objects: dict[str, str]


class AcceptedKeys(msgspec.Struct, frozen=True):
    """The strings that a helper accepts. module, name, line: of the function that raises for all others."""

    module: str
    name: str
    line: int
    keys: frozenset[str]
    extended_by: tuple[str, ...]


HelperLookup = Callable[[str], ModuleHelpers | None]
NameLookup = Callable[[str, str], tuple[str, str] | None]


def read_helpers(tree: ast.Module) -> ModuleHelpers:
    """Return the contracts of a module's functions and of the methods of its classes."""
    functions: dict[str, HelperContract] = {}
    objects: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = _read_contract(node, None)
        elif isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    functions[f"{node.name}.{item.name}"] = _read_contract(item, node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            for target in node.targets:
                if isinstance(target, ast.Name) and dotted_name(node.value.func):
                    objects[target.id] = dotted_name(node.value.func)
    return ModuleHelpers({name: item for name, item in functions.items() if _is_known(item)}, objects)


def find_accepted_keys(
    lookup: HelperLookup, resolve: NameLookup, module: str, name: str
) -> AcceptedKeys | None:
    """Return the strings that a function accepts, from the function that raises for others; None if unknown.

    lookup: the helpers of a module of the tree. resolve: module and name that a name of a module leads to.
    """
    for _ in range(_MAX_DEPTH):
        helpers = lookup(module)
        contract = helpers.functions.get(name) if helpers is not None else None
        if helpers is None or contract is None:
            return None
        if contract.accepted_keys is not None:
            return AcceptedKeys(
                module, name, contract.line, frozenset(contract.accepted_keys), contract.extended_by
            )
        root, _, method = contract.forwards_to.partition(".")
        if root == "self" and "." in name:
            name = f"{name.partition('.')[0]}.{method}"
            continue
        target = _resolve_target(lookup, resolve, module, root, method)
        if target is None:
            return None
        module, name = target
    return None


def _resolve_target(
    lookup: HelperLookup, resolve: NameLookup, module: str, root: str, method: str
) -> tuple[str, str] | None:
    """Return the function that `root` or `root.method` means: of an object, of a module, or itself."""
    found = resolve(module, root)
    if found is None:
        return None
    helpers = lookup(found[0])
    if not method or helpers is None:
        return found
    cls = helpers.objects.get(found[1])
    class_origin = resolve(found[0], cls) if cls is not None else None
    return (class_origin[0], f"{class_origin[1]}.{method}") if class_origin is not None else None


def _is_known(item: HelperContract) -> bool:
    return item.accepted_keys is not None or bool(item.forwards_to) or bool(item.return_type)


def _read_contract(function: ast.FunctionDef, owner: ast.ClassDef | None) -> HelperContract:
    decorators = {dotted_name(item) for item in function.decorator_list}
    is_bound = owner is not None and "staticmethod" not in decorators
    return_type = _return_type(function) if decorators <= {"staticmethod", "classmethod"} else ""
    parameters = [*function.args.posonlyargs, *function.args.args][is_bound:]
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not parameters or not body or decorators:
        return HelperContract(function.lineno, None, (), "", return_type)
    first = parameters[0].arg
    table = _find_lookup_table(body, first)
    if table is not None:
        keys, extended_by = _table_keys(table, owner)
        return HelperContract(function.lineno, keys, extended_by, "", return_type)
    call = _first_call(body[0])
    forwarded = call.args[0] if call is not None and call.args else None
    is_forwarded = isinstance(forwarded, ast.Name) and forwarded.id == first
    return HelperContract(
        function.lineno,
        None,
        (),
        dotted_name(call.func) if call is not None and is_forwarded else "",
        return_type,
    )


def _find_lookup_table(body: list[ast.stmt], name: str) -> ast.expr | None:
    """Return the table that `name` is looked up in, if a function raises for all names not in it.

    Two forms: `if name in T: return …` and then `raise`, or `if name not in T: raise` first.
    """
    first = body[0]
    if not isinstance(first, ast.If) or first.orelse or not isinstance(first.test, ast.Compare):
        return None
    test, last = first.test, first.body[-1]
    if len(test.ops) != 1 or not (isinstance(test.left, ast.Name) and test.left.id == name):
        return None
    if isinstance(test.ops[0], ast.In):
        is_exhaustive = isinstance(last, ast.Return) and len(body) == 2 and isinstance(body[1], ast.Raise)
    else:
        is_exhaustive = (
            isinstance(test.ops[0], ast.NotIn) and len(first.body) == 1 and isinstance(last, ast.Raise)
        )
    return test.comparators[0] if is_exhaustive else None


def _first_call(node: ast.stmt) -> ast.Call | None:
    value = node.value if isinstance(node, ast.Return | ast.Assign | ast.Expr) else None
    return value if isinstance(value, ast.Call) else None


def _table_keys(
    table: ast.expr, owner: ast.ClassDef | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the keys of a table, a literal or an attribute set once, and the methods that may add some."""
    name = dotted_name(table)
    if not name.startswith("self.") or owner is None:
        return _literal_keys(table), ()
    found: list[ast.expr] = []
    extending: set[str] = set()
    for method in owner.body:
        for node in ast.walk(method):
            if not isinstance(node, ast.Attribute) or dotted_name(node) != name:
                continue
            if isinstance(node.ctx, ast.Store):
                found.append(_assigned_value(method, node))
            elif _is_mutated(method, node):
                extending.add(getattr(method, "name", "__init__"))
    if len(found) != 1 or "__init__" in extending:
        return None, ()
    return _literal_keys(found[0]), tuple(sorted(extending))


def _literal_keys(node: ast.expr) -> tuple[str, ...] | None:
    if isinstance(node, ast.Dict):
        keys = node.keys
    elif isinstance(node, ast.Set | ast.Tuple | ast.List):
        keys = list(node.elts)
    else:
        return None
    literals = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
    return tuple(literals) if len(literals) == len(keys) else None


def _assigned_value(method: ast.AST, target: ast.Attribute) -> ast.expr:
    """Return what an attribute is assigned; the attribute itself, which is not a table, if unknown."""
    for node in ast.walk(method):
        if isinstance(node, ast.Assign) and target in node.targets:
            return node.value
        if isinstance(node, ast.AnnAssign) and node.target is target and node.value is not None:
            return node.value
    return target


def _is_mutated(method: ast.AST, table: ast.Attribute) -> bool:
    """Return whether a table gains or loses keys here, or is passed to a call that may change it."""
    for node in ast.walk(method):
        if isinstance(node, ast.Subscript) and node.value is table:
            return not isinstance(node.ctx, ast.Load)
        if isinstance(node, ast.Attribute) and node.value is table:
            return node.attr not in ("get", "items", "keys", "values")
        if isinstance(node, ast.Compare) and table in node.comparators:
            return False
        if isinstance(node, ast.For | ast.comprehension) and node.iter is table:
            return False
    return True


def _return_type(function: ast.FunctionDef) -> str:
    """Return the annotated return type of a function or, without annotation, the one that is certain."""
    if function.returns is not None:
        node = function.returns.value if isinstance(function.returns, ast.Subscript) else function.returns
        type_name = node.value if isinstance(node, ast.Constant) else dotted_name(node).rpartition(".")[2]
        return _TYPE_NAMES.get(str(type_name), "")
    last = function.body[-1] if function.body else None
    if not isinstance(last, ast.Return) or not _literal_type(last.value):
        return ""
    types = {_literal_type(value) for value in _returned_values(function)}
    return types.pop() if len(types) == 1 else ""


def _returned_values(function: ast.FunctionDef) -> Iterator[ast.expr | None]:
    """Yield the values of a function's own `return`s; None for each unknown one, and for a generator."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Return):
            yield node.value
        elif isinstance(node, ast.Yield | ast.YieldFrom):
            yield None
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            todo += children(node)


def _literal_type(value: ast.expr | None) -> str:
    if isinstance(value, ast.JoinedStr) or (
        isinstance(value, ast.Call) and dotted_name(value.func) in _OS_PATH
    ):
        return "str"
    if isinstance(value, ast.Tuple):
        return "tuple"
    if isinstance(value, ast.Dict):
        return "dict"
    return ""
