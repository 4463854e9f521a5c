"""Import statements: their modules, names and conditions."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.source.import_statements import Import, ImportCondition, find_imports, scan_imports
from source.parsed_text import parsed


def only(text: str) -> Import:
    (item,) = find_imports(parsed(text))
    return item


def test_import_statement_yields_one_import_per_module() -> None:
    first, second = find_imports(parsed("import a.b as c, d"))
    assert (first.module, first.names, second.module) == ("a.b", (), "d")
    assert first.conditions == frozenset()


def test_from_import_keeps_level_and_names() -> None:
    item = only("from ..pkg import x as y, z")
    assert (item.module, item.level, item.names, item.written_name()) == ("pkg", 2, ("x", "z"), "..pkg")


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("def f():\n    import a", {ImportCondition.LAZY}),
        ("class C:\n    import a", set()),
        ("class C:\n    async def f(self):\n        import a", {ImportCondition.LAZY}),
        ("try:\n    import a\nexcept ImportError:\n    pass", {ImportCondition.GUARDED}),
        ("try:\n    import a\nexcept (ModuleNotFoundError, OSError):\n    pass", {ImportCondition.GUARDED}),
        ("try:\n    import a\nexcept:\n    pass", {ImportCondition.GUARDED}),
        ("try:\n    import a\nexcept KeyError:\n    pass", set()),
        ("try:\n    import a\nexcept ImportError:\n    raise", set()),
        ("import sys\ntry:\n    import a\nexcept ImportError:\n    print(1)\n    sys.exit(2)", set()),
        ("try:\n    x = 1\nexcept ImportError:\n    import a", {ImportCondition.CONDITIONAL}),
        ("try:\n    x = 1\nfinally:\n    import a", set()),
        (
            "from contextlib import suppress\nwith suppress(ImportError):\n    import a",
            {ImportCondition.GUARDED},
        ),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a", {ImportCondition.TYPING}),
        ("import typing\nif typing.TYPE_CHECKING:\n    x = 1\nelse:\n    import a", set()),
        ("import sys\nif sys.platform == 'win32':\n    import a", {ImportCondition.PLATFORM}),
        (
            "import os\nif x:\n    pass\nelif os.name == 'nt':\n    import a",
            {ImportCondition.CONDITIONAL, ImportCondition.PLATFORM},
        ),
        ("if x:\n    import a", {ImportCondition.CONDITIONAL}),
        ("if x:\n    pass\nelse:\n    import a", {ImportCondition.CONDITIONAL}),
        ("if True:\n    import a", set()),
        ("for x in y:\n    import a", {ImportCondition.CONDITIONAL}),
        ("match x:\n    case 1:\n        import a", {ImportCondition.CONDITIONAL}),
        ("if __name__ == '__main__':\n    import a", {ImportCondition.MAIN}),
        ("try:\n    def f():\n        import a\nexcept ImportError:\n    pass", {ImportCondition.LAZY}),
        ("import importlib\nx = importlib.import_module('a')", {ImportCondition.DYNAMIC}),
        ("def f():\n    return __import__('a')", {ImportCondition.LAZY, ImportCondition.DYNAMIC}),
    ],
)
def test_import_has_conditions_of_its_context(text: str, when: set[ImportCondition]) -> None:
    found = [item for item in find_imports(parsed(text)) if item.module == "a"]
    assert [item.conditions for item in found] == [frozenset(when)]


def test_dynamic_import_is_found_only_with_literal_name() -> None:
    text = "import importlib\nimportlib.import_module(name)\nimportlib.import_module('not a name')\n"
    assert [item.module for item in find_imports(parsed(text))] == ["importlib"]


def test_nested_dynamic_import_is_found_once() -> None:
    text = "if x:\n    for y in z:\n        __import__('a.b')\n"
    assert [item.module for item in find_imports(parsed(text))] == ["a.b"]


def test_import_has_position_of_statement() -> None:
    item = only("x = 'é'; import a\n")
    assert (item.line, item.column) == (1, 10)


def test_import_records_caught_exceptions() -> None:
    item = only(
        "try:\n    try:\n        import a\n    except ImportError:\n        pass\nexcept Exception:\n    pass"
    )
    assert item.caught == {"ImportError", "Exception"}


# Texts that do not parse, by their lines.
_NAMES = st.sampled_from(["a", "b_1", "Größe", "zmq"])
_DOTTED = st.lists(_NAMES, min_size=1, max_size=3).map(".".join)


def test_scan_imports_reads_lines_of_broken_file() -> None:
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


def test_scan_imports_ignores_prose() -> None:
    assert scan_imports("import the wares from there\nfrom here on\nfrom the\n") == ()


@given(st.lists(st.tuples(_DOTTED, st.lists(_NAMES, max_size=3)), max_size=6))
def test_scan_imports_agrees_with_parser(lines: list[tuple[str, list[str]]]) -> None:
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
def test_scan_imports_accepts_any_text(text: str) -> None:
    for item in scan_imports(text):
        assert item.module or item.level
