"""Python source files: byte order marks, encodings, newlines, and unreadable files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.source.python_source import SourceText, Unparsed, decode_source, read_source, split_lines


def decoded(data: bytes) -> SourceText:
    source = decode_source(data, "a.py")
    assert isinstance(source, SourceText)
    return source


def test_utf_8_source_is_decoded() -> None:
    source = decoded("x = 'é'\n".encode())
    assert (source.encoding, source.has_bom, source.newline) == ("utf-8", False, "\n")
    assert source.text() == "x = 'é'\n"


def test_source_text_excludes_byte_order_mark() -> None:
    source = decoded(b"\xef\xbb\xbfx = 1\r\n")
    assert (source.has_bom, source.newline, source.text()) == (True, "\r\n", "x = 1\r\n")


def test_encoding_declaration_is_honoured() -> None:
    source = decoded("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"))
    assert source.encoding == "iso-8859-1"
    assert source.text().endswith("'é'\n")


@pytest.mark.parametrize(
    ("data", "newline"),
    [(b"", ""), (b"x", ""), (b"a\nb\r\n", "mixed"), (b"a\rb\r", "\r"), (b"a\r\nb\r\n", "\r\n")],
)
def test_source_records_kind_of_newline(data: bytes, newline: str) -> None:
    assert decoded(data).newline == newline


def test_unknown_encoding_returns_unparsed() -> None:
    source = decode_source(b"# coding: klingon\n", "a.py")
    assert isinstance(source, Unparsed)
    assert source.stage == "read"
    assert "klingon" in source.message


@pytest.mark.parametrize("name", ["missing.py", "folder", "null\0byte.py"])
def test_unreadable_file_returns_unparsed(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    source = read_source(str(tmp_path / name))
    assert isinstance(source, Unparsed)
    assert source.stage == "read"


def test_read_source_does_not_block_on_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    source = read_source(tmp_path / "pipe.py")
    assert isinstance(source, Unparsed)
    assert source.message == "cannot be read: not a regular file"


def test_split_lines_splits_only_at_python_newlines() -> None:
    assert split_lines("a\x0cb\u2028c\r\nd\re") == ["a\x0cb\u2028c", "d", "e"]


@given(st.binary(max_size=200))
def test_decode_source_accepts_any_bytes(data: bytes) -> None:
    source = decode_source(data, "a.py")
    if isinstance(source, SourceText):
        assert source.data == data
        assert isinstance(source.text(), str)
