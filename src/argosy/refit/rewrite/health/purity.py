"""A payload that may be asked at any time and by any thread: it looks, and changes nothing."""

from __future__ import annotations

import ast
from typing import Final

from argosy.refit.addresses.shapes import last_name, text_of
from argosy.refit.health.payloads import HOOK, is_super, own_nodes
from argosy.refit.rewrite.health.responder import is_log
from argosy.refit.rewrite.view import Function, View
from argosy.source import flow

# What the standard says under these names is not what an agent would.
TAKEN: Final = frozenset(
    {"since", "loop_lag_ms", "in_flight", "handled", "failed", "rss_bytes", "status_word", "needs", "wants"}
)
_FUNCTIONS: Final = frozenset(
    (  # noqa: SIM905
        "len str int float bool round sum any all max min sorted list dict set tuple hasattr getattr"
        " isinstance type abs enumerate zip range map filter repr id"
    ).split()
)
_MODULES: Final = tuple(
    (  # noqa: SIM905
        "time. datetime. psutil. platform. math. torch.cuda. os.path. uuid. os.getpid os.environ.get"
        " os.getenv threading.active_count threading.current_thread socket.gethostname json.dumps"
    ).split()
)
_CHANGING: Final = ("time.sleep", "torch.cuda.empty_cache", "torch.cuda.set", "psutil.test")
# Methods that look, whatever they are called on.
_LOOKS: Final = frozenset(
    (  # noqa: SIM905
        "get items keys values copy isoformat total_seconds strftime is_alive is_set qsize empty count index"
        " lower upper strip split join format timestamp startswith endswith union difference locked getvalue"
    ).split()
)
_GROWS: Final = frozenset({"update", "append", "extend", "add", "setdefault", "sort"})
_DEEP: Final = 5


def purity_reason(view: View, owner: ast.ClassDef) -> str:
    """Return what the payload of a class does besides looking; empty for nothing, or for the base's own."""
    return _method_reason(view, owner, HOOK, 0)


def taken_key(owner: ast.ClassDef) -> str:
    """Return a key of a class's payload that the standard says itself, about something else."""
    method = _own(owner, HOOK)
    keys: set[str] = set()
    for node in own_nodes(method) if method is not None else ():
        if isinstance(node, ast.Dict):
            keys |= {text_of(key) for key in node.keys}
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            keys.add(text_of(node.slice))
    return min(keys & TAKEN, default="")


def _method_reason(view: View, owner: ast.ClassDef, name: str, depth: int) -> str:
    method = _own(owner, name)
    if method is None:
        return "" if name == HOOK else f"its payload calls `{name}`, which is not in its class"
    if isinstance(method, ast.AsyncFunctionDef) or method.decorator_list or depth > _DEEP:
        return f"its payload `{name}` is a coroutine, decorated, or calls too deep"
    for node in own_nodes(method):
        if reason := _node_reason(view, owner, method, node, depth):
            return f"its payload does more than look: {reason}"
    return ""


def _node_reason(view: View, owner: ast.ClassDef, method: Function, node: ast.AST, depth: int) -> str:
    """Return what one node of a payload changes or may change."""
    if isinstance(node, ast.Global | ast.Nonlocal | ast.Delete | ast.Await | ast.Yield | ast.YieldFrom):
        return f"`{name_of(node)}`"
    if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        root = node.value if isinstance(node, ast.Subscript) else None
        is_local = isinstance(root, ast.Name) and root.id in _locals(method)
        return "" if is_local else f"it sets `{ast.unparse(node)}`"
    return _call_reason(view, owner, method, node, depth) if isinstance(node, ast.Call) else ""


def _call_reason(view: View, owner: ast.ClassDef, method: Function, call: ast.Call, depth: int) -> str:
    func = call.func
    name = view.resolve(func) or flow.dotted(func)
    if name in _FUNCTIONS or is_log(call) or is_super(call):
        return ""
    if name.startswith(_MODULES) and not name.startswith(_CHANGING):
        return ""
    if isinstance(func, ast.Attribute):
        if is_super(func.value) and func.attr == HOOK:
            return ""
        if func.attr in _LOOKS:
            return ""
        if func.attr in _GROWS and isinstance(func.value, ast.Name) and func.value.id in _locals(method):
            return ""
        held = flow.dotted(func.value)
        if held == "self":
            return _method_reason(view, owner, func.attr, depth + 1)
        made = _made_class(view, owner, held) if held.startswith("self.") else None
        if made is not None and _own(made, func.attr) is not None:
            return _method_reason(view, made, func.attr, depth + 1)
    return f"it calls `{ast.unparse(func):.60}`"


def name_of(node: ast.AST) -> str:
    """Return a statement's or expression's keyword, such as `global`."""
    return type(node).__name__.lower()


def _locals(method: Function) -> set[str]:
    """Return the names that a method gives values of its own making: dicts, lists, its base's payload."""
    found: set[str] = set()
    for node in own_nodes(method):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, _FRESH):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_fresh = not isinstance(node.value, ast.Call) or _is_fresh_call(node.value)
            found |= {t.id for t in targets if isinstance(t, ast.Name) and is_fresh}
    return found


_FRESH: Final = (ast.Dict, ast.List, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.Call)


def _is_fresh_call(call: ast.Call) -> bool:
    func = call.func
    is_base = isinstance(func, ast.Attribute) and is_super(func.value)
    return is_base or last_name(func) in ("dict", "list", "set", "copy")


def _own(owner: ast.ClassDef, name: str) -> Function | None:
    found = [
        node
        for node in owner.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    return found[-1] if found else None


def _made_class(view: View, owner: ast.ClassDef, held: str) -> ast.ClassDef | None:
    """Return the class of this file that an attribute of self is an object of, where only that is set."""
    made = [
        node.value
        for node in own_nodes_of_class(owner)
        if isinstance(node, ast.Assign) and any(flow.dotted(target) == held for target in node.targets)
    ]
    if len(made) != 1 or not isinstance(made[0], ast.Call) or not isinstance(made[0].func, ast.Name):
        return None
    name = made[0].func.id
    classes = [node for node in view.tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return classes[0] if len(classes) == 1 else None


def own_nodes_of_class(owner: ast.ClassDef) -> list[ast.AST]:
    """Return the nodes of a class's methods."""
    return [
        node
        for method in owner.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in own_nodes(method)
    ]
