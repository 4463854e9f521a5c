"""Name scopes: they agree with symtable; and undefined names."""

from __future__ import annotations

import ast
import symtable
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.source.binder import find_scopes
from argosy.source.name_scopes import NameScope
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, read_source
from argosy.source.undefined_names import find_undefined
from source.parsed_text import parsed


def undefined(text: str) -> list[str]:
    found = parsed(text)
    return [item.name for item in find_undefined(found, find_scopes(found))]


def global_names_by_symtable(text: str) -> set[str]:
    """Return the names that functions read from the module, as the compiler sees it."""
    found: set[str] = set()
    todo = [symtable.symtable(text, "a.py", "exec")]
    while todo:
        table = todo.pop()
        todo += table.get_children()
        if table.get_type() != "module":
            found |= {
                symbol.get_name()
                for symbol in table.get_symbols()
                if symbol.is_global() and symbol.is_referenced()
            }
    return found


def global_names_by_scopes(module: NameScope) -> set[str]:
    """The same by our scopes: read in an inner scope, and bound by none between it and the module."""
    found: set[str] = set()
    for scope in module.walk():
        for use in scope.uses:
            if scope is not module and scope.owner_of(use.name) in (None, module):
                found.add(use.name)
    return found


TEXTS = [
    "x = 1\ndef f(a, *b, c=x, **d):\n    return a, b, c, d, x, y\n",
    "def f():\n    global z\n    z = 1\ndef g():\n    return z\n",
    "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n        return n\n    return g\n",
    "class C:\n    a = 1\n    b = [a for _ in range(3)]\n    def m(self):\n"
    "        return a, self.b, __class__\n",
    "def f():\n    return [i * k for i in range(3) if (k := i)], k\n",
    "def f(x):\n    match x:\n        case {'a': p, **rest}: return p, rest\n"
    "        case [q, *others]: return q, others\n"
    "        case str() as s: return s\n        case _: return t\n",
    "def f():\n    try:\n        pass\n    except ValueError as e:\n        return e\n"
    "    with o() as w: return w\n",
    "f = lambda a, b=c: (a, b, d)\n",
    "def outer():\n    def inner():\n        return v\n    v = 1\n    return inner\n",
    "def f():\n    import a.b.c\n    from m import n as o\n    return a, o, n\n",
    "def f():\n    for i, (j, *k) in x: del i\n    return i, j, k\n",
    "def f():\n    class D(B, metaclass=M):\n        q = r\n        def s(self): return q\n    return D\n",
    "class C:\n    def f(self):\n        def g():\n            global h\n            h = 1\n"
    "        return h\n",
    "async def f():\n    async with a as b, c as d:\n        return [x async for x in b if d]\n",
    "def f():\n    x: int = 1\n    y: Unknown\n    return x\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_name_scopes_agree_with_symtable(text: str) -> None:
    found = global_names_by_scopes(find_scopes(parsed(text)))
    expected = global_names_by_symtable(text)
    # The compiler counts an annotation that it never computes as a reference too, and so do we.
    assert found - {"__class__"} == expected - {"__class__"}


_NAMES = st.sampled_from("abcd")
_KINDS = ["read", "bind", "def", "class", "lambda", "walrus", "import"]
if sys.version_info < (3, 12):
    # From 3.12 on the compiler inlines comprehensions (PEP 709), and symtable shows no scope of theirs.
    _KINDS.append("comprehension")


@st.composite
def functions(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """A random nest of functions, classes and comprehensions over four names."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(_KINDS))
        name, other = draw(_NAMES), draw(_NAMES)
        if kind in ("def", "class") and depth < 3:
            head = f"def {name}({other}):" if kind == "def" else f"class {name}:"
            lines += [head, *("    " + line for line in draw(functions(depth + 1)))]
        else:
            lines.append(
                {
                    "bind": f"{name} = {other}",
                    "comprehension": f"[{name} for {other} in {name}]",
                    "lambda": f"lambda {name}: {name} + {other}",
                    "walrus": f"print({name} := {other})",
                    "import": f"import {name}.x as {other}",
                }.get(kind, f"print({name})")
            )
    return lines


@given(functions())
def test_name_scopes_of_random_functions_agree_with_symtable(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    assert global_names_by_scopes(find_scopes(parsed(text))) == global_names_by_symtable(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f():\n    return zmq.Context()", ["zmq"]),
        ("import zmq\ndef f():\n    return zmq.Context()", []),
        ("def f():\n    return g()\ndef g(): pass", []),
        ("def f():\n    return len(__file__), __name__, WindowsError", []),
        ("def f():\n    try:\n        unicode\n    except NameError:\n        pass", []),
        ("from m import *\ndef f():\n    return anything", []),
        ("globals()['x'] = 1\ndef f():\n    return x", []),
        ("globals().update(y)\ndef f():\n    return x", []),
        ("def f(x: Unknown) -> None: pass", []),
        ("from __future__ import annotations\ndef f():\n    def g(x: Unknown): pass", []),
        # Since 3.14 nobody computes it (PEP 649).
        ("def f():\n    def g(x: Unknown): pass", ["Unknown"] if sys.version_info < (3, 14) else []),
        ("def f():\n    x: Unknown = 1", []),
        ("class C:\n    def f(self):\n        return __class__", []),
        ("class C:\n    a = 1\n    def f(self):\n        return a", ["a"]),
        ("def f():\n    global x\n    x = 1\ndef g():\n    return x", []),
        ("def f():\n    return __qualname__x", ["__qualname__x"]),
    ],
)
def test_find_undefined_returns_unbound_names(text: str, names: list[str]) -> None:
    assert undefined(text) == names


def test_undefined_name_is_reported_once_at_first_use() -> None:
    found = parsed("class C:\n    def b(self): return np\n    def a(self): return np + np\n")
    (item,) = find_undefined(found, find_scopes(found))
    assert (item.name, item.line, item.column, item.scope, item.use_count) == ("np", 2, 25, "C.b", 3)


def test_scope_has_parent_and_qualified_name() -> None:
    module = find_scopes(parsed("def f(): pass\n"))
    (child,) = module.children
    assert child.parent is module
    assert child.qualified_name() == "f"


@pytest.mark.corpus
def test_name_scopes_of_real_code_base_agree_with_symtable(corpus: Path) -> None:
    """Every fifth file of the corpus; a module name mangled by the compiler is no name of ours."""
    differing = {}
    for path in sorted(corpus.rglob("*.py"))[::5]:
        source = read_source(path)
        found = parse(source) if isinstance(source, SourceText) else source
        if not isinstance(found, Parsed):
            continue
        ours = global_names_by_scopes(find_scopes(found))
        theirs = global_names_by_symtable(ast.unparse(found.tree))
        if ours - {"__class__"} != theirs - {"__class__"}:
            differing[str(path)] = ours ^ theirs
    assert differing == {}
