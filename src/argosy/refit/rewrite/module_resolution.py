"""Resolves modules and names to other files of the tree."""

from __future__ import annotations

import ast
import functools

from argosy.refit.analysis.context_names import find_reexports
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.transaction.source_view import SourceView
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, decode_source


def module_file(index: TreeIndex, path: str, module: str) -> str:
    """Return the one file that a module imported in `path` can be; empty for none or several."""
    found = module_files(index, path, module)
    return found[0] if len(found) == 1 else ""


def module_files(index: TreeIndex, path: str, module: str) -> list[str]:
    """Return the files of the tree that a module imported in `path` can be."""
    dots = len(module) - len(module.lstrip("."))
    stem = module[dots:].replace(".", "/")
    if dots:
        directory = "/".join(path.split("/")[:-dots])
        end = f"{directory}/{stem}".strip("/")
        known = (f"{end}.py", f"{end}/__init__.py") if end else ("__init__.py",)
        return [each for each in known if each in index.files]
    ends = (f"{stem}.py", f"{stem}/__init__.py")
    return [p for p in index.files if any(p == end or p.endswith(f"/{end}") for end in ends)]


def reexporting_file(index: TreeIndex, path: str, origin: str, steps: int = 8) -> str:
    """Return the file of the tree that re-exports `origin` to `path`, if it may be pyzmq's; else empty.

    origin: such as `mine.compat.zmq.Context`, with leading dots for a relative import.
    steps: how many re-exports to follow.
    """
    module, names = origin, ""
    while steps and "." in module.lstrip("."):
        module, _, name = module.rpartition(".")
        names = f"{name}.{names}".rstrip(".")
        for path_there in module_files(index, path, module):
            other_view = view_file(path_there, index.files[path_there])
            first, _, rest = names.partition(".")
            exported = find_reexports(other_view.python_file).get(first, "") if other_view is not None else ""
            remaining = f"{exported}.{rest}".rstrip(".")
            if exported and (
                remaining.startswith("zmq.") or reexporting_file(index, path_there, remaining, steps - 1)
            ):
                return path_there
    return ""


@functools.lru_cache(maxsize=64)
def view_file(path: str, data: bytes) -> SourceView | None:
    """Return a file as codemods see it; None if it does not parse."""
    source = decode_source(data, path)
    parsed = parse(source) if isinstance(source, SourceText) else source
    return SourceView(path, parsed) if isinstance(parsed, Parsed) else None


def find_imported_function(
    view: SourceView, index: TreeIndex, called: ast.expr
) -> tuple[SourceView, ast.FunctionDef] | None:
    """Return the function of another module that `called` certainly is, with its file; else None."""
    module, _, name = view.resolve_imported_name(called).rpartition(".")
    defining_file = module_file(index, view.path, module) if module else ""
    other_view = view_file(defining_file, index.files[defining_file]) if defining_file else None
    if (
        other_view is None
        or index.patching_file(defining_file, name)
        or len(other_view.module_scope.bindings.get(name, ())) != 1
    ):
        return None
    function = next(
        (n for n in other_view.tree.body if isinstance(n, ast.FunctionDef) and n.name == name), None
    )
    return (other_view, function) if function is not None and not function.decorator_list else None


def parameter_of(function: ast.FunctionDef, call: ast.Call, argument: ast.expr) -> str:
    """Return the parameter that receives an argument of a call; empty if that is not certain."""
    if any(isinstance(each, ast.Starred) for each in call.args):
        return ""
    if argument in call.args:
        plain = [*function.args.posonlyargs, *function.args.args]
        at = call.args.index(argument)
        return plain[at].arg if at < len(plain) else ""
    keyword = next((each.arg for each in call.keywords if each.value is argument), None)
    names = {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}
    return keyword if keyword is not None and keyword in names else ""
