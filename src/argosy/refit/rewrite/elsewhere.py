"""Other files of the tree, as far as a rewrite of one has to look into them."""

from __future__ import annotations

import ast
import functools

from argosy.refit.contextnames import handed_on
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import View
from argosy.source.parse import Parsed, parse
from argosy.source.text import Source, take_source


def home_of(index: Index, path: str, module: str) -> str:
    """Return the one file of the tree that a module can be, as `path` names it; empty for none or several."""
    found = homes_of(index, path, module)
    return found[0] if len(found) == 1 else ""


def homes_of(index: Index, path: str, module: str) -> list[str]:
    """Return the files of the tree that a module can be, as `path` names it."""
    dots = len(module) - len(module.lstrip("."))
    stem = module[dots:].replace(".", "/")
    if dots:
        folder = "/".join(path.split("/")[:-dots])
        end = f"{folder}/{stem}".strip("/")
        known = (f"{end}.py", f"{end}/__init__.py") if end else ("__init__.py",)
        return [each for each in known if each in index.files]
    ends = (f"{stem}.py", f"{stem}/__init__.py")
    return [p for p in index.files if any(p == end or p.endswith(f"/{end}") for end in ends)]


def handing_on(index: Index, path: str, origin: str, steps: int = 8) -> str:
    """Return the file of the tree that what `path` takes as `origin` comes from, if that may be pyzmq's.

    origin: such as `mine.compat.zmq.Context`, with dots before it for a relative import.
    """
    module, names = origin, ""
    while steps and "." in module.lstrip("."):
        module, _, name = module.rpartition(".")
        names = f"{name}.{names}".rstrip(".")
        for home in homes_of(index, path, module):
            there = view_of(home, index.files[home])
            first, _, rest = names.partition(".")
            given = handed_on(there.file).get(first, "") if there is not None else ""
            further = f"{given}.{rest}".rstrip(".")
            if given and (further.startswith("zmq.") or handing_on(index, home, further, steps - 1)):
                return home
    return ""


@functools.lru_cache(maxsize=64)
def view_of(path: str, data: bytes) -> View | None:
    """Return a file as the rewrites see it; None where it does not parse."""
    source = take_source(data, path)
    parsed = parse(source) if isinstance(source, Source) else source
    return View(path, parsed) if isinstance(parsed, Parsed) else None


def find_function(view: View, index: Index, called: ast.expr) -> tuple[View, ast.FunctionDef] | None:
    """Return the function of a module that `called` certainly is, with its file; None for anything else."""
    module, _, name = view.resolve(called).rpartition(".")
    home = home_of(index, view.path, module) if module else ""
    there = view_of(home, index.files[home]) if home else None
    if there is None or index.patched(home, name) or len(there.module.bindings.get(name, ())) != 1:
        return None
    made = next((n for n in there.tree.body if isinstance(n, ast.FunctionDef) and n.name == name), None)
    return (there, made) if made is not None and not made.decorator_list else None


def parameter_of(made: ast.FunctionDef, call: ast.Call, given: ast.expr) -> str:
    """Return the parameter that takes an argument of a call; empty where that is not plain."""
    if any(isinstance(each, ast.Starred) for each in call.args):
        return ""
    if given in call.args:
        plain = [*made.args.posonlyargs, *made.args.args]
        at = call.args.index(given)
        return plain[at].arg if at < len(plain) else ""
    word = next((each.arg for each in call.keywords if each.value is given), None)
    names = {each.arg for each in (*made.args.args, *made.args.kwonlyargs)}
    return word if word is not None and word in names else ""
