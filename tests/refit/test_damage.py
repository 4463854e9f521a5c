"""What is wrong with a file that does not parse, by the cause and not by where Python stopped."""

from __future__ import annotations

import sysconfig
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.refit.damage import Damage, Diagnosis, diagnose
from argosy.refit.outline import fractures
from argosy.refit.statements import read_statements
from argosy.source.parse import parse
from argosy.source.text import Source, Unparsed, read_source, take_source


def _diagnosed(text: str) -> Diagnosis:
    source = take_source(textwrap.dedent(text).encode(), "agent.py")
    assert isinstance(source, Source)
    failed = parse(source)
    assert isinstance(failed, Unparsed)
    return diagnose(source, failed)


CASES = [
    ("x = str(int(1)))\ny = 2\n", Damage.EXTRA_BRACKET, 1, 16),
    (
        """\
        def f():
            s.connect(endpoint({port}, "localhost")))
        """,
        Damage.TORN_CALL,
        2,
        45,
    ),
    ("x = [1, 2)\n", Damage.CROSSED_BRACKET, 1, 10),
    ("x = [1,\n\ndef f():\n    return 2\n", Damage.UNCLOSED_BRACKET, 1, 5),
    (
        """\
        class A:
            def f(self):
                x = 1
        LIMIT = 5
                return x

            def g(self): return 2
        """,
        Damage.INJECTED_STATEMENT,
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
        Damage.INJECTED_STATEMENT,
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
        Damage.INJECTED_STATEMENT,
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
        Damage.INJECTED_HANDLER,
        4,
        1,
    ),
    ("class A:\n    x = parse()def f(self):\n        return 1\n", Damage.GLUED, 2, 16),
    ("def f():\n    start()        self.x = 1\n", Damage.GLUED, 2, 20),
    ("def f(a):\n    if a:\n    x = 1\n    return a\n", Damage.EMPTY_BLOCK, 3, 5),
    ("def f(a):\n    return a\ndef g(a):\n", Damage.EMPTY_BLOCK, 3, 1),
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
        Damage.MOVED_HEADER,
        4,
        1,
    ),
    ("x = 1\n    def f(self):\n        return 1\n", Damage.MISINDENTED, 2, 5),
    ('print(f"\nresult: {1}")\n', Damage.OPEN_STRING, 1, 7),
    ("class A(B)(C):\n    x = 1\n", Damage.SECOND_BASES, 1, 11),
    ("<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> other\n", Damage.CONFLICT, 1, 1),
    ("def f():\n    print 'hello'\n", Damage.OLD_PYTHON, 2, 5),
    ("try:\n    f()\nexcept OSError, e:\n    pass\n", Damage.OLD_PYTHON, 3, 8),
    ("import {{ package }}\n", Damage.TEMPLATE, 1, 8),
    ("x = 1 +\n", Damage.OTHER, 1, 8),
    ("def f():\n    return\nreturn 1\n", Damage.OTHER, 3, 1),
    ("x = '\0'\n", Damage.UNREADABLE, 1, 6),
]


@pytest.mark.parametrize(("text", "damage", "line", "column"), CASES)
def test_the_cause_is_told_where_it_begins(text: str, damage: Damage, line: int, column: int) -> None:
    told = _diagnosed(text)
    assert (told.damage, told.line, told.column) == (damage, line, column)
    assert told.told()


def test_line_ends_and_tabs_make_no_difference() -> None:
    text = "class A:\n\tdef f(self):\n\t\tx = 1\nLIMIT = 5\n\t\treturn x\n"
    for newline in ("\n", "\r\n", "\r"):
        told = _diagnosed(text.replace("\n", newline))
        assert (told.damage, told.line) == (Damage.INJECTED_STATEMENT, 4)


def test_a_damage_far_above_the_place_where_python_stops_is_found() -> None:
    # The tokenizer's complaint about a column outruns the parser's about the line above it.
    told = _diagnosed("x = f(1))\nif x:\n        y = 1\n    z = 2\n")
    assert (told.damage, told.line) == (Damage.EXTRA_BRACKET, 1)


def test_every_class_has_its_words() -> None:
    assert all(Diagnosis(damage, 1, 1, "").told() for damage in Damage)


def _sound_files() -> list[Path]:
    folder = Path(sysconfig.get_path("stdlib"))
    return sorted(folder.glob("*.py"))[::4] + sorted((folder / "asyncio").glob("*.py"))


def test_sound_files_have_no_fracture() -> None:
    for path in _sound_files():
        source = take_source(path.read_bytes(), str(path))
        assert isinstance(source, Source)
        found = list(fractures(read_statements(source.text())))
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
def test_any_text_has_a_diagnosis(parts: list[str]) -> None:
    source = take_source("".join(parts).encode(), "agent.py")
    assert isinstance(source, Source)
    failed = parse(source)
    if isinstance(failed, Unparsed):
        told = diagnose(source, failed)
        assert told.line >= 1
        assert told.column >= 1


@pytest.mark.corpus
def test_a_real_tree_s_damages_have_classes(corpus: Path) -> None:
    told: dict[Damage, int] = {}
    for path in sorted(corpus.rglob("*.py")):
        source = read_source(path)
        assert isinstance(source, Source)
        failed = parse(source, is_compiled=False)
        if isinstance(failed, Unparsed):
            damage = diagnose(source, failed).damage
            told[damage] = told.get(damage, 0) + 1
    assert sum(told.values()) == 194
    assert told[Damage.OTHER] <= 4
    assert told[Damage.EXTRA_BRACKET] >= 59
    assert min(told[Damage.GLUED], told[Damage.INJECTED_HANDLER]) >= 29
