"""Peer references: which agents and addresses a file refers to."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.source.binder import NodeIndex, find_scopes
from argosy.source.peer_reference_scan import PeerReferences, find_peer_references
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText


def scan(text: str) -> PeerReferences:
    source = SourceText("a.py", textwrap.dedent(text).encode(), "utf-8", False, "\n")
    parsed = parse(source)
    assert isinstance(parsed, Parsed)
    index = NodeIndex()
    find_scopes(parsed, index)
    return find_peer_references(parsed, index)


@pytest.mark.parametrize(
    ("code", "text", "port"),
    [
        ('self.peer("Memory").call("get")', "Memory", None),
        ('discover_service("Memory")', "Memory", None),
        ('STORE = "Memory"\nask(STORE)', "Memory", None),
        ('s.connect("tcp://127.0.0.1:5595")', "tcp://127.0.0.1:5595", 5595),
        ('s.connect(f"tcp://{host}:5595")', "tcp://?:5595", 5595),
        ('PORT = 5595\ns.connect(f"tcp://{host}:{PORT}")', "tcp://?:5595", 5595),
        ('requests.get_endpoint(url="http://h:80/x")', "http://h:80/x", 80),
    ],
)
def test_scan_finds_peer_references_in_calls(code: str, text: str, port: int | None) -> None:
    assert (text, port) in [(mention.text, mention.port) for mention in scan(code).references]


@pytest.mark.parametrize(
    "code",
    [
        'logging.getLogger("Memory")',
        'print("Memory")',
        's.bind("tcp://*:5595")',
        'x = "Memory"',
        's.connect(f"tcp://{host}:{port}")',
    ],
)
def test_scan_ignores_other_uses_of_names_and_ports(code: str) -> None:
    assert [each for each in scan(code).references if each.text == "Memory" or each.port] == []


def test_peer_reference_has_position_and_scope() -> None:
    found = scan(
        """
        class One:
            def go(self):
                self.ask("ü", "Memory")
        def two(): connect("Other")
        """
    ).references
    assert [(each.text, each.line, each.column, each.scope) for each in found] == [
        ("ü", 4, 18, "One"),
        ("Memory", 4, 23, "One"),
        ("Other", 5, 20, "two"),
    ]


def test_scan_collects_words_and_ports_of_all_strings() -> None:
    found = scan('x = "to Memory: 5595"\ny = 7200\nz = True\n')
    assert {"to", "Memory"} <= found.text_words
    assert {5595, 7200} <= found.possible_ports


@given(st.text(max_size=40))
def test_scan_accepts_any_text(text: str) -> None:
    found = scan(f"connect({text!r})")
    assert [each.text for each in found.references] == [text]
