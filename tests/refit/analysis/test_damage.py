"""Damage diagnosis: the cause of a syntax error, and the place where it begins."""

from __future__ import annotations

import sysconfig
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.refit.analysis.block_structure import find_structure_breaks
from argosy.refit.analysis.damage import DamageKind, Diagnosis, diagnose
from argosy.refit.analysis.lenient_statements import read_statements
from argosy.source.python_parser import parse
from argosy.source.python_source import SourceText, Unparsed, decode_source, read_source


def _diagnosed(text: str) -> Diagnosis:
    source = decode_source(textwrap.dedent(text).encode(), "agent.py")
    assert isinstance(source, SourceText)
    failed = parse(source)
    assert isinstance(failed, Unparsed)
    return diagnose(source, failed)


CASES = [
    ("x = str(int(1)))\ny = 2\n", DamageKind.EXTRA_BRACKET, 1, 16),
    (
        """\
        def f():
            s.connect(endpoint({port}, "localhost")))
        """,
        DamageKind.TORN_CALL,
        2,
        45,
    ),
    ("x = [1, 2)\n", DamageKind.CROSSED_BRACKET, 1, 10),
    ("x = [1,\n\ndef f():\n    return 2\n", DamageKind.UNCLOSED_BRACKET, 1, 5),
    (
        """\
        class A:
            def f(self):
                x = 1
        LIMIT = 5
                return x

            def g(self): return 2
        """,
        DamageKind.INJECTED_STATEMENT,
        4,
        1,
    ),
    (
        """\
        try:
        from one import two
        except ImportError:
            two = None
        """,
        DamageKind.INJECTED_STATEMENT,
        2,
        1,
    ),
    (
        """\
        def f():
            try:
                print(1)
        import json
                json.dumps(1)
            except ValueError:
                pass
        """,
        DamageKind.INJECTED_STATEMENT,
        4,
        1,
    ),
    (
        """\
        def f():
            try:
                import json
        except ImportError as e:
            print(e)
                return json
            except ImportError:
                return None
        """,
        DamageKind.INJECTED_HANDLER,
        4,
        1,
    ),
    ("class A:\n    x = parse()def f(self):\n        return 1\n", DamageKind.GLUED_STATEMENTS, 2, 16),
    ("def f():\n    start()        self.x = 1\n", DamageKind.GLUED_STATEMENTS, 2, 20),
    ("def f(a):\n    if a:\n    x = 1\n    return a\n", DamageKind.EMPTY_BLOCK, 3, 5),
    ("def f(a):\n    return a\ndef g(a):\n", DamageKind.EMPTY_BLOCK, 3, 1),
    (
        """\
        class A:
            def f(self):
                return 1
        def g(self):
                return 2

            def h(self):
                return 3
        """,
        DamageKind.MOVED_HEADER,
        4,
        1,
    ),
    ("x = 1\n    def f(self):\n        return 1\n", DamageKind.MISINDENTED, 2, 5),
    ('print(f"\nresult: {1}")\n', DamageKind.OPEN_STRING, 1, 7),
    ("class A(B)(C):\n    x = 1\n", DamageKind.SECOND_BASES, 1, 11),
    ("<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> other\n", DamageKind.MERGE_CONFLICT, 1, 1),
    ("def f():\n    print 'hello'\n", DamageKind.PYTHON_2, 2, 5),
    ("try:\n    f()\nexcept OSError, e:\n    pass\n", DamageKind.PYTHON_2, 3, 8),
    ("import {{ package }}\n", DamageKind.TEMPLATE, 1, 8),
    ("x = 1 +\n", DamageKind.OTHER, 1, 8),
    ("def f():\n    return\nreturn 1\n", DamageKind.OTHER, 3, 1),
    ("x = '\0'\n", DamageKind.UNREADABLE, 1, 6),
]


@pytest.mark.parametrize(("text", "damage", "line", "column"), CASES)
def test_diagnosis_names_damage_and_place(text: str, damage: DamageKind, line: int, column: int) -> None:
    told = _diagnosed(text)
    assert (told.damage, told.line, told.column) == (damage, line, column)
    assert told.describe()


def test_diagnosis_is_same_for_all_newlines_and_tabs() -> None:
    text = "class A:\n\tdef f(self):\n\t\tx = 1\nLIMIT = 5\n\t\treturn x\n"
    for newline in ("\n", "\r\n", "\r"):
        told = _diagnosed(text.replace("\n", newline))
        assert (told.damage, told.line) == (DamageKind.INJECTED_STATEMENT, 4)


def test_diagnosis_finds_damage_above_python_error() -> None:
    # The tokenizer's complaint about a column outruns the parser's about the line above it.
    told = _diagnosed("x = f(1))\nif x:\n        y = 1\n    z = 2\n")
    assert (told.damage, told.line) == (DamageKind.EXTRA_BRACKET, 1)


def test_every_damage_kind_has_description() -> None:
    assert all(Diagnosis(damage, 1, 1, "").describe() for damage in DamageKind)


def _sound_files() -> list[Path]:
    folder = Path(sysconfig.get_path("stdlib"))
    return sorted(folder.glob("*.py"))[::4] + sorted((folder / "asyncio").glob("*.py"))


def test_sound_files_have_no_structure_breaks() -> None:
    for path in _sound_files():
        source = decode_source(path.read_bytes(), str(path))
        assert isinstance(source, SourceText)
        found = list(find_structure_breaks(read_statements(source.text())))
        assert found == [], (path, found)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "def f():",
                "    ",
                "\t",
                "try:",
                "except E:",
                "(",
                ")",
                "{",
                "]",
                "'",
                '"""',
                "x",
                "=",
                "\n",
                "é",
                "\\",
            ]
        ),
        max_size=40,
    )
)
def test_diagnosis_of_any_text_has_place(parts: list[str]) -> None:
    source = decode_source("".join(parts).encode(), "agent.py")
    assert isinstance(source, SourceText)
    failed = parse(source)
    if isinstance(failed, Unparsed):
        told = diagnose(source, failed)
        assert told.line >= 1
        assert told.column >= 1


@pytest.mark.corpus
def test_diagnosis_classifies_damage_of_real_tree(corpus: Path) -> None:
    told: dict[DamageKind, int] = {}
    for path in sorted(corpus.rglob("*.py")):
        source = read_source(path)
        assert isinstance(source, SourceText)
        failed = parse(source, is_compiled=False)
        if isinstance(failed, Unparsed):
            damage = diagnose(source, failed).damage
            told[damage] = told.get(damage, 0) + 1
    assert sum(told.values()) == 194
    assert told[DamageKind.OTHER] <= 4
    assert told[DamageKind.EXTRA_BRACKET] >= 59
    assert min(told[DamageKind.GLUED_STATEMENTS], told[DamageKind.INJECTED_HANDLER]) >= 29
