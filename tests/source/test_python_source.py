"""Reading files: marks, cookies, line ends, and what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.source.python_source import SourceText, Unparsed, decode_source, read_source, split_lines


def taken(data: bytes) -> SourceText:
    source = decode_source(data, "a.py")
    assert isinstance(source, SourceText)
    return source


def test_plain_utf_8() -> None:
    source = taken("x = 'é'\n".encode())
    assert (source.encoding, source.has_bom, source.newline) == ("utf-8", False, "\n")
    assert source.text() == "x = 'é'\n"


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    source = taken(b"\xef\xbb\xbfx = 1\r\n")
    assert (source.has_bom, source.newline, source.text()) == (True, "\r\n", "x = 1\r\n")


def test_a_cookie_names_the_encoding() -> None:
    source = taken("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"))
    assert source.encoding == "iso-8859-1"
    assert source.text().endswith("'é'\n")


@pytest.mark.parametrize(
    ("data", "newline"),
    [(b"", ""), (b"x", ""), (b"a\nb\r\n", "mixed"), (b"a\rb\r", "\r"), (b"a\r\nb\r\n", "\r\n")],
)
def test_newlines(data: bytes, newline: str) -> None:
    assert taken(data).newline == newline


def test_an_unknown_encoding_is_data() -> None:
    source = decode_source(b"# coding: klingon\n", "a.py")
    assert isinstance(source, Unparsed)
    assert source.stage == "read"
    assert "klingon" in source.message


@pytest.mark.parametrize("name", ["missing.py", "folder", "null\0byte.py"])
def test_what_cannot_be_read_is_data(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    source = read_source(str(tmp_path / name))
    assert isinstance(source, Unparsed)
    assert source.stage == "read"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    source = read_source(tmp_path / "pipe.py")
    assert isinstance(source, Unparsed)
    assert source.message == "cannot be read: not a regular file"


def test_only_line_ends_of_python_end_a_line() -> None:
    assert split_lines("a\x0cb\u2028c\r\nd\re") == ["a\x0cb\u2028c", "d", "e"]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_source_or_a_reason(data: bytes) -> None:
    source = decode_source(data, "a.py")
    if isinstance(source, SourceText):
        assert source.data == data
        assert isinstance(source.text(), str)
