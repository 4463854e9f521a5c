"""Text edits: bytes outside of the edits are kept, whatever the encoding and newlines of the file."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.refit.codemods.file_pipeline import rewrite_file
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.registry import load_codemods
from argosy.refit.transaction.source_change import Deletion, Insertion, Replacement, position_of, replace_node
from argosy.refit.transaction.text_edit import (
    TextEdit,
    apply_changes,
    apply_edits,
    line_before_shifts,
    line_shifts,
)
from argosy.refit.transaction.text_positions import EncodedText, UnsafeEditError
from argosy.source.python_source import SourceText, decode_source
from refit.transaction.source_writer import marked_programs, written


def source_of(data: bytes) -> SourceText:
    source = decode_source(data, "it.py")
    assert isinstance(source, SourceText)
    return source


@given(marked_programs())
def test_rewrite_keeps_every_byte_outside_context(program: tuple[str, str, str, bool]) -> None:
    marked, encoding, newline, is_ended = program
    before = written(marked.replace("@", "zmq.Context()"), encoding, newline, is_ended)
    outcome = rewrite_file("it.py", before, TreeIndex({"it.py": before}), load_codemods())
    assert {name: reason for name, reason in outcome.checks.items() if reason} == {}
    if "@" not in marked:
        assert outcome.after is None
        return
    imported = "import zmq\nimport argosy.wire\n" if "zmq.REP" in marked else "import argosy.wire\n"
    expected = marked.replace("@", "argosy.wire.context()").replace("import zmq\n", imported)
    assert outcome.refused == ()
    assert outcome.after == written(expected, encoding, newline, is_ended)
    again = rewrite_file("it.py", outcome.after, TreeIndex({"it.py": outcome.after}), load_codemods())
    assert (again.after, again.migrated) == (None, ())


@given(marked_programs())
def test_migrated_sites_have_line_numbers_of_file(program: tuple[str, str, str, bool]) -> None:
    marked, encoding, newline, is_ended = program
    before = written(marked.replace("@", "zmq.Context()"), encoding, newline, is_ended)
    outcome = rewrite_file("it.py", before, TreeIndex({"it.py": before}), load_codemods())
    lines = [number for number, line in enumerate(marked.split("\n"), 1) for _ in range(line.count("@"))]
    assert [site.line for site in outcome.migrated] == lines


@given(st.text(max_size=60), st.data())
def test_apply_edits_agrees_with_slicing(text: str, data: st.DataObject) -> None:
    source = source_of(b"") if not text else source_of(text.encode("utf-8", "surrogatepass"))
    try:
        whole = EncodedText(source)
    except UnsafeEditError:
        return
    size = len(whole.text)
    cuts = sorted(data.draw(st.sets(st.integers(0, size), max_size=6)))
    news = data.draw(st.lists(st.sampled_from(["", "x", "é\n", "日本"]), min_size=3, max_size=3))
    pairs = list(zip(cuts[::2], cuts[1::2], news, strict=False))
    expected, at = "", 0
    for start, stop, new in pairs:
        expected += whole.text[at:start] + new
        at = stop
    edits = [TextEdit(start, stop, new) for start, stop, new in pairs]
    assert apply_edits(whole, edits[::-1]) == whole.bom + (expected + whole.text[at:]).encode()


def test_overlapping_edits_are_refused() -> None:
    text = EncodedText(source_of(b"abcdef"))
    for edits in ([TextEdit(0, 3, "x"), TextEdit(2, 4, "y")], [TextEdit(1, 1, "x"), TextEdit(1, 1, "y")]):
        with pytest.raises(UnsafeEditError, match="overlap"):
            apply_edits(text, edits)


def test_edit_refuses_file_that_does_not_encode_back() -> None:
    # In this encoding a redundant escape to ASCII is lost on the way back.
    data = b"# coding: iso2022_jp\nx = 1 \x1b(B\n"
    with pytest.raises(UnsafeEditError, match="does not encode to the same bytes"):
        EncodedText(source_of(data))


def test_edit_refuses_text_outside_file_encoding() -> None:
    source = source_of("# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    (node,) = (n for n in ast.walk(ast.parse(source.data)) if isinstance(n, ast.Constant))
    with pytest.raises(UnsafeEditError, match=r"latin-1|iso-8859-1"):
        apply_changes(source, [replace_node(node, "'日'")])


def test_edit_refuses_unexpected_old_text() -> None:
    source = source_of(b"x = zmq.Context()\n")
    call = ast.parse(source.data).body[0].value.func  # type: ignore[attr-defined]
    with pytest.raises(UnsafeEditError, match="expected `"):
        apply_changes(source, [Replacement(position_of(call), "other.Context", "new")])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import a\nx = 1\n", "import a\nimport n\nx = 1\n"),
        ("import a", "import a\nimport n"),
        ("import a  # why\r\nx = 1\r\n", "import a  # why\r\nimport n\r\nx = 1\r\n"),
        ("import a; x = 1\n", "import a; import n; x = 1\n"),
        ("try: import a\nexcept ImportError: pass\n", "try: import a; import n\nexcept ImportError: pass\n"),
        ("from a import (\n    b,\n)\nx = 1\n", "from a import (\n    b,\n)\nimport n\nx = 1\n"),
        ("if x:\n\timport a\n", "if x:\n\timport a\n\timport n\n"),
        ("\fimport a\n", "\fimport a\nimport n\n"),
    ],
)
def test_insertion_puts_statement_after_anchor(before: str, after: str) -> None:
    tree = ast.parse(before)
    anchor = next(n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom))
    assert (
        apply_changes(source_of(before.encode()), [Insertion(position_of(anchor), "import n")]).decode()
        == after
    )


def test_deletion_removes_all_lines_of_statement() -> None:
    before = "x = 1\ny = f(\n    2,\n)  # gone too\n# stays\nz = 3"
    for number, after in ((1, "x = 1\n# stays\nz = 3"), (2, "x = 1\ny = f(\n    2,\n)  # gone too\n# stays")):
        statement = ast.parse(before).body[number]
        assert apply_changes(source_of(before.encode()), [Deletion(position_of(statement))]).decode() == after
    shared = ast.parse("x = 1; y = 2\n").body[0]
    with pytest.raises(UnsafeEditError, match="shares its line"):
        apply_changes(source_of(b"x = 1; y = 2\n"), [Deletion(position_of(shared))])


def test_line_shifts_map_new_lines_to_old_lines() -> None:
    before = "import a\nx = 1\ny = (\n 1)\nz = 2\n"
    body = ast.parse(before).body
    changes = [Insertion(position_of(body[0]), "import n"), Deletion(position_of(body[2]))]
    source = source_of(before.encode())
    assert apply_changes(source, changes) == b"import a\nimport n\nx = 1\nz = 2\n"
    moves = line_shifts(source, changes)
    assert [line_before_shifts(moves, line) for line in (1, 3, 4)] == [1, 2, 5]
