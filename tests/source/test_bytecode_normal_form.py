"""Bytecode normal form: equal for code that differs only in names and constants."""

from __future__ import annotations

import json
import keyword
import os
import subprocess
import sys
from types import CodeType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.source.bytecode_normal_form import normalize_bytecode
from rig.interpreters import ROOT, other_bare

BODY = """
{imported}
def f({a}, {b}):
    for {c} in {a}.{d}({one}):
        if {c}.{d} > {two} or not {b}:
            {log}.{e}({c}, {three})
        else:
            {b}.{e}({c})
    return [{c} + {one} for {c} in {b}]
"""
NAMES = st.lists(
    st.from_regex(r"\A[a-z][a-z0-9_]{0,8}\Z").filter(lambda name: not keyword.iskeyword(name)),
    min_size=6,
    max_size=6,
    unique=True,
)


def shape(text: str) -> bytes:
    module = compile(text, "a.py", "exec", dont_inherit=True)
    function = next(item for item in module.co_consts if isinstance(item, CodeType))
    return normalize_bytecode(function.co_code).shape


@given(
    NAMES, st.integers(), st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
def test_normal_form_ignores_names_constants_and_imports(
    names: list[str], one: int, two: str, three: float, is_imported: bool
) -> None:
    usual = dict(zip("abcde", ("first", "second", "third", "attribute", "method"), strict=True))
    first = BODY.format(**usual, log="log", imported="", one="1", two="2", three="3")
    changed = dict(zip("abcde", names, strict=False))
    imported = f"import {names[5]}" if is_imported else ""
    second = BODY.format(
        **changed, log=names[5], imported=imported, one=repr(one), two=repr(two), three=repr(three)
    )
    assert shape(first) == shape(second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("if a:\n        b()\n        c()", "if a:\n        b()\n    c()"),
        ("a.b(a.c)", "a.b(a.b)"),
        ("a(b, c)", "a(b, b)"),
        ("while a:\n        b()", "if a:\n        b()"),
        ("return a + b", "return a - b"),
        ("a(b)", "a(b=b)"),
        ("a(b=b, c=c)", "a(b=b, c=b)"),
    ],
)
def test_normal_form_distinguishes_different_operations(one: str, other: str) -> None:
    assert shape(f"def f():\n    {one}\n") != shape(f"def f():\n    {other}\n")


def test_normal_form_ignores_keyword_argument_names() -> None:
    one = "def f():\n    a('x')\n    b(port=1, name='x')\n"
    other = "def f():\n    a('x')\n    b(port=1, out='y')\n"
    assert shape(one) == shape(other)


def test_trivial_coroutine_has_no_effects() -> None:
    module = compile("async def f(self):\n    return self.a\n", "a.py", "exec", dont_inherit=True)
    function = next(item for item in module.co_consts if isinstance(item, CodeType))
    assert not normalize_bytecode(function.co_code).has_effects


def test_normal_form_handles_extended_arguments() -> None:
    def text(prefix: str, value: int, imported: str) -> str:
        lines = [f"    if {prefix}{at}:\n        log.{prefix}x({at + value})" for at in range(400)]
        return f"{imported}\ndef f():\n" + "\n".join(lines) + "\n"

    assert shape(text("a", 0, "")) == shape(text("b", 70_000, "import log"))


FORMS = """
import json, sys
from types import CodeType
from argosy.source.bytecode_normal_form import normalize_bytecode
texts = json.load(sys.stdin)
codes = [compile(text, "a.py", "exec", dont_inherit=True) for text in texts]
functions = [next(item for item in code.co_consts if isinstance(item, CodeType)) for code in codes]
forms = [normalize_bytecode(function.co_code) for function in functions]
print(json.dumps([[form.shape.hex() for form in forms], [form.has_effects for form in forms]]))
"""


def test_normal_form_equality_is_same_in_every_python() -> None:
    bodies = [
        "log.x(1)",
        "self.x(1)",
        "a(b=1)",
        "a('b', b='b')",
        "return -1",
        "return 70000",
        "return super().x(a)",
        "yield a",
        "return a",
        "return [a for a in b if a]",
        "assert a, 'b'",
        "with a as b: pass",
        "import a.b as c",
        "print(f'{a!r:>{b}}')",
    ]
    heads = ["def f(self, a, b):", "import log\ndef f(self, a, b):", "async def g(this, c, d):"]
    texts = [f"{head}\n    {body}\n" for head in heads for body in (*bodies, *bodies[:4])]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    outputs = [
        json.loads(
            subprocess.run(
                [python, "-c", FORMS],
                input=json.dumps(texts),
                env=env,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for python in (sys.executable, other_bare())
    ]
    own, other = ([shapes.index(shape) for shape in shapes] for shapes, _ in outputs)
    assert own == other
    assert outputs[0][1] == outputs[1][1]
