"""Imports of texts that do not parse, by their lines."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st

from argosy.source.import_scan import scan_imports
from argosy.source.import_statements import ImportCondition

_NAMES = st.sampled_from(["a", "b_1", "Größe", "zmq"])
_DOTTED = st.lists(_NAMES, min_size=1, max_size=3).map(".".join)


def test_what_stands_at_the_beginning_of_lines() -> None:
    text = (
        "import os, sys as s  # both\nfrom . import x\n  from ..a.b import (c,\n  d as e,  # no\n)\ndef f(:\n"
    )
    found = [(item.module, item.level, item.names, item.line) for item in scan_imports(text)]
    assert found == [
        ("os", 0, (), 1),
        ("sys", 0, (), 1),
        ("", 1, ("x",), 2),
        ("a.b", 2, ("c", "d"), 3),
    ]
    assert [item.conditions for item in scan_imports(text)][-1] == {ImportCondition.CONDITIONAL}


def test_prose_is_no_import() -> None:
    assert scan_imports("import the wares from there\nfrom here on\nfrom the\n") == ()


@given(st.lists(st.tuples(_DOTTED, st.lists(_NAMES, max_size=3)), max_size=6))
def test_the_same_as_the_parser_where_it_parses(lines: list[tuple[str, list[str]]]) -> None:
    text = "".join(
        f"from {module} import {', '.join(names)}\n" if names else f"import {module}\n"
        for module, names in lines
    )
    told = [(item.module, item.names, item.line) for item in scan_imports(text)]
    parsed = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom):
            parsed.append((node.module, tuple(alias.name for alias in node.names), node.lineno))
        elif isinstance(node, ast.Import):
            parsed += [(alias.name, (), node.lineno) for alias in node.names]
    assert told == parsed


@given(st.text(max_size=200))
def test_any_text_is_taken(text: str) -> None:
    for item in scan_imports(text):
        assert item.module or item.level
