"""Python parser: syntax trees, and the place and reason where there is none."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.source.file_facts import extract_facts
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, Unparsed, decode_source, read_source


def parse_bytes(data: bytes, *, is_compiled: bool = True) -> Parsed | Unparsed:
    source = decode_source(data, "a.py")
    return parse(source, is_compiled=is_compiled) if isinstance(source, SourceText) else source


@pytest.mark.parametrize(
    ("data", "stage", "line", "column"),
    [
        (b"x = 1\ny = )\n", "parse", 2, 5),
        (b"try:\npass\n", "parse", 2, 1),
        (b"def f():\n\treturn 1\n        return 2\n", "parse", 3, 1),
        (b"x = 1\nreturn x\n", "compile", 2, 1),
        (b"async def f(): pass\nawait f()\n", "compile", 2, 1),
        (b"def f():\n    await g()\n", "compile", 2, 5),
        (b"break\n", "compile", 1, 1),
        (b"def f(a, a): pass\n", "compile", 1, 10),
        (b"x = 1\nab\0c = 2\n", "read", 2, 3),
        (b"x = '\xff'\n", "read", 1, 1),
    ],
)
def test_unparsed_file_has_stage_and_place(data: bytes, stage: str, line: int, column: int) -> None:
    failed = parse_bytes(data)
    assert isinstance(failed, Unparsed)
    assert (failed.stage, failed.line, failed.column) == (stage, line, column)
    assert failed.message


def test_parser_can_skip_compile_check() -> None:
    assert isinstance(parse_bytes(b"return 1\n", is_compiled=False), Parsed)


@pytest.mark.parametrize("data", [b"(" * 300, b"x = " + b"-" * 100_000 + b"1\n", b"x" + b".a" * 50_000])
def test_parser_returns_unparsed_for_deep_nesting(data: bytes) -> None:
    assert isinstance(parse_bytes(data), Unparsed)


def test_parser_emits_no_warnings() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert isinstance(parse_bytes(b"x = '\\d'\nassert (x, 'y')\nx is 1\n"), Parsed)
    assert seen == []


def test_parsed_columns_count_characters() -> None:
    parsed = parse_bytes("é = 'ü'; name\n".encode())
    assert isinstance(parsed, Parsed)
    statement = parsed.tree.body[1]
    assert (statement.col_offset, parsed.column(statement)) == (11, 10)


def test_parsed_columns_count_characters_of_other_encoding() -> None:
    parsed = parse_bytes("# coding: latin-1\né = 1; name\n".encode("latin-1"))
    assert isinstance(parsed, Parsed)
    assert parsed.column(parsed.tree.body[1]) == 8


def test_fact_extraction_handles_long_sum_and_elif_chain() -> None:
    chain = "if a == 0: pass\n" + "".join(f"elif a == {number}: x = b\n" for number in range(300))
    parsed = parse_bytes(f"a = {' + '.join(['b'] * 800)}\n{chain}".encode())
    assert isinstance(parsed, Parsed)
    facts = extract_facts(parsed)
    assert [item.name for item in facts.uses_before_definition] == ["b"]


_WORDS = st.sampled_from(
    [
        *("import a", "from . import b", "def f(x):", "class C(D):", "    ", "\t", "\n", "return y", "("),
        *(")", "x", " = ", "try:", "except ImportError:", "pass", "if x:", "else:", "lambda q: z", "*"),
        *("[i for i in j]", "global x", "del x", "é", "\0", "\x0c", "match x:", "case {'a': b, **c}:"),
        *("with a as b:", "async ", "await x", ":="),
    ]
)


@given(
    st.one_of(
        st.binary(max_size=120), st.lists(_WORDS, max_size=30).map(lambda words: "".join(words).encode())
    )
)
def test_parser_accepts_any_bytes(data: bytes) -> None:
    parsed = parse_bytes(data)
    if isinstance(parsed, Parsed):
        assert isinstance(parsed.tree, ast.Module)
        extract_facts(parsed)
    else:
        assert parsed.line >= 1
        assert parsed.column >= 1


@pytest.mark.corpus
def test_parser_counts_broken_files_of_real_code_base(corpus: Path) -> None:
    """194 of its 989 files do not parse, and 15 that do would not compile."""
    stages: Counter[str] = Counter()
    for path in sorted(corpus.rglob("*.py")):
        source = read_source(path)
        assert isinstance(source, SourceText)
        found = parse(source)
        stages["sound" if isinstance(found, Parsed) else found.stage] += 1
    assert stages == {"sound": 780, "parse": 194, "compile": 15}
