"""Token outline: it agrees with the syntax tree wherever a file parses."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import argosy
from argosy.refit.claims.query_registry import query_kinds
from argosy.refit.claims.token_outline import TokenOutline
from argosy.refit.core.source_file import PythonFile
from argosy.source import control_flow
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText

ROOT = Path(argosy.__file__).parent
# Every eighth of argosy's own files: all of them read alike too, and take half a minute.
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))[::8]


def both(path: str, data: bytes) -> tuple[PythonFile, TokenOutline]:
    parsed = parse(SourceText(path, data, "utf-8", False, "\n"))
    assert isinstance(parsed, Parsed)
    return PythonFile(path, parsed), TokenOutline(path, data.decode())


def test_token_outline_finds_calls_and_imports_of_syntax_tree() -> None:
    for path in FILES:
        file, outline = both(path, (ROOT / path).read_bytes())
        nodes = [node for node in ast.walk(file.tree) if isinstance(node, ast.Call)]
        called = Counter(
            outline.resolve_name(name) for node in nodes if (name := control_flow.dotted_name(node.func))
        )
        assert Counter(name for name, _ in outline.find_calls()) == called, path
        lines = [node.lineno for node in ast.walk(file.tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert sorted(statement.line for statement, _ in outline.imports) == sorted(lines), path


def test_token_outline_skips_method_call_on_nested_f_string() -> None:
    outline = TokenOutline("a.py", """x = f"{b64(f'{self.user}:{self.word}'.encode())}"\n""")
    assert [name for name, _ in outline.find_calls()] == ["b64"]


def test_token_outline_finds_names_and_bases_of_syntax_tree() -> None:
    classes = query_kinds()["python.classes"].matcher
    functions = query_kinds()["python.functions"].matcher
    assert classes is not None
    assert functions is not None
    for path in FILES:
        file, outline = both(path, (ROOT / path).read_bytes())
        named = {item.line: item.name for item in functions.match_file(file, "*")}
        assert {item.line: item.name for item in functions.match_tokens(outline, "*")} == named
        lengths = {item.line: item.lines for item in functions.match_file(file, "*")}
        assert {item.line: item.lines for item in functions.match_tokens(outline, "*")} == lengths
        bases = {item.line: item.details for item in classes.match_file(file, "") if item.details != ("def",)}
        by_words = {
            item.line: item.details for item in classes.match_tokens(outline, "") if item.details != ("def",)
        }
        assert by_words == bases, path


@given(st.text(alphabet=st.sampled_from("ab.()[]{}:,=#'\"\\\n\t @*") | st.characters(), max_size=120))
def test_token_outline_reads_any_text(text: str) -> None:
    outline = TokenOutline("a/b.py", text)
    for kind in query_kinds().values():
        if kind.matcher is not None:
            kind.matcher.match_tokens(outline, "a")
    lines = text.count("\n") + text.count("\r") + 1
    assert all(1 <= item.line <= lines and item.column >= 1 for item in outline.definitions)


PIECES = ["class A(B):", "def f(x=(1,", "2)):", "    pass", "import a.b as c", "from . import d", "c.e()"]


@given(st.lists(st.sampled_from([*PIECES, "'''", ")"]), max_size=12))
def test_token_outline_reads_program_fragments(pieces: list[str]) -> None:
    outline = TokenOutline("p/__init__.py", "\n".join(pieces))
    found = [item.kind for item in outline.definitions]
    assert set(found) <= {"class", "def"}
    if "'''" not in pieces:
        assert found.count("class") == pieces.count("class A(B):")
