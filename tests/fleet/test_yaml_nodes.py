"""YAML nodes: text to tree, what is rejected, and where."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fleet.decode import to_plain
from argosy.fleet.locations import FaultList
from argosy.fleet.yaml_nodes import parse_document


def read(text: str) -> tuple[object, list[str]]:
    faults = FaultList("f.yaml")
    node = parse_document(text, faults)
    return (None if node is None else to_plain(node)), [
        f"{fault.where} {fault.code}" for fault in faults.in_file_order()
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2001-01-01", "2001-01-01"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("12", 12),
        ("-7", -7),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ('!!int "12"', 12),
        ("1.2.3", "1.2.3"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_follow_core_schema(text: str, value: object) -> None:
    assert read(f"[{text}]") == ([value], [])


def test_anchors_aliases_and_merge_keys_are_resolved() -> None:
    text = "base: &base {a: 1, b: 2}\nother: &other {b: 3, c: 4}\nx: {<<: [*base, *other], a: 9}\ny: *base\n"
    value, faults = read(text)
    assert faults == []
    assert value == {
        "base": {"a": 1, "b": 2},
        "other": {"b": 3, "c": 4},
        "x": {"a": 9, "b": 2, "c": 4},
        "y": {"a": 1, "b": 2},
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "f.yaml:1:1 empty"),
        ("# only a comment\n", "f.yaml:1:1 empty"),
        ("---\n...\n", "f.yaml:1:1 empty"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1 duplicate-key"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1 many-documents"),
        ("a:\n\t- 1\n", "f.yaml:2:1 yaml"),
        ("a: [1, 2\nb: 3\n", "f.yaml:2:2 yaml"),
        ("a: b: c\n", "f.yaml:1:5 yaml"),
        ("a: *nobody\n", "f.yaml:1:4 alias"),
        ("a: &a [1, *a]\n", "f.yaml:1:11 alias"),
        ("a: &a\n  <<: *a\n", "f.yaml:2:7 alias"),
        ("[a, b]: 1\n", "f.yaml:1:1 key"),
        ("a: !!python/object:os.system x\n", "f.yaml:1:4 tag"),
        ("a: {<<: 1}\n", "f.yaml:1:9 merge"),
        ("a: b\x01c\n", "f.yaml:1:5 yaml"),
        ("a: 'b\ud800'\n", "f.yaml:1:6 yaml"),
        ('a: "\\ud800"\n', "f.yaml:1:7 yaml"),
        ("[" * 500, "f.yaml:1:61 too-deep"),
    ],
)
def test_parser_reports_unreadable_yaml_with_place(text: str, fault: str) -> None:
    assert read(text)[1] == [fault]


def test_tab_indentation_is_named_with_hint() -> None:
    faults = FaultList("f.yaml")
    parse_document("a:\n\tb: 1\n", faults)
    (fault,) = faults.in_file_order()
    assert "a tab" in fault.message
    assert fault.hint == "indent with spaces"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            "a: [1, 2\nb: 3\n",
            "close the `[` of line 1, column 4 with `]`, or put a comma between its parts",
        ),
        (
            "a:\n  b: {c: 1\n  d: 2\n",
            "close the `{` of line 2, column 6 with `}`, or put a comma between its parts",
        ),
        ("a: \"b\nc: 'd'\n", 'close the `"` of line 1, column 4 with `"`'),
    ],
)
def test_unclosed_bracket_or_quote_hint_names_its_opening(text: str, hint: str) -> None:
    faults = FaultList("f.yaml")
    parse_document(text, faults)
    (fault,) = faults.in_file_order()
    assert fault.hint == hint


def test_alias_bomb_is_rejected_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    start = time.monotonic()
    assert [fault.split()[1] for fault in read("\n".join(lines))[1]] == ["too-large"]
    assert time.monotonic() - start < 5


def test_deep_nesting_is_rejected_without_stack_overflow() -> None:
    text = "".join(f"{' ' * depth}a:\n" for depth in range(3000))
    assert [fault.split()[1] for fault in read(text)[1]] == ["too-deep"]


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%#,? \n\t0~<\u00e9\x00\x85"), max_size=60))
def test_parser_returns_tree_or_fault_for_any_text(text: str) -> None:
    faults = FaultList("f.yaml")
    node = parse_document(text, faults)
    assert node is not None or len(faults)
    for fault in faults.in_file_order():
        _, line, column = fault.where.rsplit(":", 2)
        assert 1 <= int(line) <= text.count("\n") + text.count("\x85") + 2
        assert int(column) >= 1
