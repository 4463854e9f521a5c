"""Deterministic bytecode: rewritten files have the same meaning and do not depend on the writing process."""

from __future__ import annotations

import marshal
import sysconfig
from pathlib import Path
from types import CodeType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.image.content.deterministic_pyc import canonicalize_pyc

HEADER = b"0123456789abcdef"
_CODE = [
    *("co_code", "co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_filename"),
    *("co_name", "co_qualname", "co_firstlineno", "co_linetable", "co_exceptiontable", "co_flags"),
    *("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_stacksize"),
]


def is_same(one: object, other: object) -> bool:
    if isinstance(one, CodeType):
        return all(is_same(getattr(one, key), getattr(other, key)) for key in _CODE)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, frozenset):
        return one == other
    return type(one) is type(other) and repr(one) == repr(other)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | st.just(...),
    lambda inner: st.lists(inner, max_size=5).map(tuple),
    max_leaves=20,
)


@given(_VALUES)
def test_canonicalize_pyc_keeps_values(value: object) -> None:
    made = canonicalize_pyc(HEADER + marshal.dumps((value, value)))
    assert made[:16] == HEADER
    assert is_same(marshal.loads(made[16:]), (value, value))
    assert canonicalize_pyc(made) == made


@pytest.mark.parametrize("name", ["functools", "dataclasses", "typing", "argparse", "enum", "asyncio/tasks"])
def test_canonicalize_pyc_keeps_modules_and_removes_reference_sharing(name: str) -> None:
    path = Path(sysconfig.get_path("stdlib")) / f"{name}.py"
    code = compile(path.read_bytes(), str(path), "exec")
    made = canonicalize_pyc(HEADER + marshal.dumps(code))
    assert is_same(marshal.loads(made[16:]), code)
    # Version 2 of the format shares nothing; what is loaded from it is shared otherwise than `code` is.
    again = marshal.loads(marshal.dumps(code, 2))
    assert canonicalize_pyc(HEADER + marshal.dumps(again)) == made


@given(st.binary(max_size=60))
def test_canonicalize_pyc_rejects_invalid_data(data: bytes) -> None:
    try:
        canonicalize_pyc(HEADER + data)
    except (ValueError, IndexError, RecursionError):
        return
