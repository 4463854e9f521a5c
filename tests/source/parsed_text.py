"""Parsing of small sources for the tests of `argosy.source`."""

from __future__ import annotations

import textwrap

from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, decode_source


def parsed(text: str) -> Parsed:
    """Return the tree of an indented text that must parse."""
    source = decode_source(textwrap.dedent(text).encode(), "a.py")
    assert isinstance(source, SourceText)
    found = parse(source)
    assert isinstance(found, Parsed), found
    return found
