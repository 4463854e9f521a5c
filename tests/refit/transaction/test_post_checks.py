"""Post checks: each check stops the kind of wrong rewrite that it is for."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from argosy.refit.transaction import post_checks, unresolved_names
from argosy.refit.transaction.post_checks import (
    CHECK_DESCRIPTIONS,
    POST_CHECKS,
    CheckInput,
    RewriteStep,
    run_checks,
)
from argosy.refit.transaction.source_change import Change, Deletion, Insertion, position_of, replace_node
from argosy.refit.transaction.source_view import SourceView
from argosy.refit.transaction.text_edit import apply_changes
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, Unparsed, decode_source

BEFORE = """\
import threading
import zmq

class Agent:
    def __init__(self):
        self.context = zmq.Context()  # its own
        self.thread = threading.Thread(target=self.work)

    def work(self):
        return self.context.socket(zmq.REP)
"""
Find = Callable[[ast.Module], ast.expr | ast.stmt]


def find(kind: type[ast.AST], text: str) -> Find:
    """Return what finds the node of a kind that is written so."""

    def look(tree: ast.Module) -> ast.expr | ast.stmt:
        return next(
            node for node in ast.walk(tree) if type(node) is kind and ast.unparse(node).startswith(text)
        )  # type: ignore[return-value]

    return look


def case(changes: list[Change], corrupt: Callable[[bytes], bytes] = bytes, again: int = 0) -> CheckInput:
    source = decode_source(BEFORE.encode(), "agent.py")
    assert isinstance(source, SourceText)
    parsed = parse(source)
    assert isinstance(parsed, Parsed)
    steps = [RewriteStep(parsed, tuple(changes))]
    return CheckInput(
        SourceView("agent.py", parsed),
        output(corrupt(apply_changes(source, changes))),
        steps,
        lambda view: again,
    )


def output(made: bytes) -> SourceView | Unparsed:
    source = decode_source(made, "agent.py")
    after = parse(source, is_compiled=False) if isinstance(source, SourceText) else source
    return SourceView("agent.py", after) if isinstance(after, Parsed) else after


def failed_checks(made: CheckInput) -> list[str]:
    return [name for name, reason in run_checks(made).items() if reason]


def tree() -> ast.Module:
    return ast.parse(BEFORE)


LEASED = find(ast.Attribute, "zmq.Context")
IMPORT = find(ast.Import, "import zmq")


def good() -> list[Change]:
    return [
        replace_node(LEASED(tree()), "argosy.wire.context"),
        Insertion(position_of(IMPORT(tree())), "import argosy.wire"),
    ]


def test_correct_rewrite_passes_every_post_check() -> None:
    told = run_checks(case(good()))
    assert told == dict.fromkeys(POST_CHECKS, "")
    assert set(CHECK_DESCRIPTIONS) == {"input", *POST_CHECKS, "verify"}


@pytest.mark.parametrize(
    ("gate", "corrupt"),
    [
        ("output", lambda data: data.replace(b"context()", b"context(")),
        ("output", lambda data: data + b"return\n"),
        ("tree", lambda data: data.replace(b"context()", b"context(2)")),
        ("tree", lambda data: data.replace(b"self.work)", b"self.work, daemon=True)")),
        ("tokens", lambda data: data.replace(b"# its own", b"# shared")),
    ],
)
def test_post_check_stops_corrupted_output(gate: str, corrupt: Callable[[bytes], bytes]) -> None:
    found = failed_checks(case(good(), corrupt))
    # Another tree has other tokens: both say so. A comment is in no tree.
    assert found == ([gate, "tokens"] if gate == "tree" else [gate])


def import_only() -> list[Change]:
    return [Insertion(position_of(IMPORT(tree())), "import argosy.wire")]


def no_import() -> list[Change]:
    return [replace_node(LEASED(tree()), "argosy.wire.context")]


def import_twice() -> list[Change]:
    return [
        *good(),
        Insertion(position_of(find(ast.Import, "import threading")(tree())), "import argosy.wire"),
    ]


def method_gone() -> list[Change]:
    return [Deletion(position_of(find(ast.FunctionDef, "def work")(tree())))]


def context_none() -> list[Change]:
    call = find(ast.Call, "zmq.Context()")(tree())
    return [replace_node(call, "None")]


def late_import() -> list[Change]:
    target = find(ast.Assign, "self.thread")(tree())
    return [
        replace_node(LEASED(tree()), "argosy.wire.context"),
        Insertion(position_of(target), "import argosy.wire"),
    ]


@pytest.mark.parametrize(
    ("gate", "changes"),
    [
        ("names", no_import),
        ("names", late_import),
        ("imports", import_only),
        ("imports", import_twice),
        ("members", method_gone),
        ("contexts", context_none),
    ],
)
def test_post_check_stops_wrong_plan(gate: str, changes: Callable[[], list[Change]]) -> None:
    """The editor did as it was told and the trees are equal: it was told the wrong thing."""
    assert failed_checks(case(changes())) == [gate]


def test_members_check_accepts_inherited_member() -> None:
    stopped = case(method_gone())
    (unknown,) = ast.parse("class Unknown: ...").body
    assert isinstance(unknown, ast.ClassDef)
    assert list(stopped.inherited_members(unknown)) == []
    stopped.inherited_members = lambda owner: {"work"} if owner.name == "Agent" else ()
    assert failed_checks(stopped) == []


APART = """\
import zmq
import os

def one():
    return zmq.Context()

def two():
    return os.sep

def three():
    global zmq
    zmq = None

class A:
    def four(self):
        def five():
            return os
        return five
"""


@pytest.mark.parametrize(
    ("made", "apart"),
    [
        (APART, {"two", "A.four"}),
        (APART.replace("import zmq\n", "import zmq\nimport more\n"), {"two", "A.four"}),
        (APART.replace("import os\n", ""), set()),
        (APART.replace("import os\n", "from os import *\n"), set()),
        (APART.replace("def two():\n    return os.sep\n", ""), set()),
        (APART + "def two():\n    pass\n", {"A.four"}),
    ],
)
def test_names_check_skips_only_unaffected_functions(made: str, apart: set[str]) -> None:
    before, after = output(APART.encode()), output(made.encode())
    assert isinstance(before, SourceView)
    assert isinstance(after, SourceView)
    assert post_checks._unaffected_functions(before, after, {"one"}) == apart


def test_pyflakes_check_leaves_skipped_functions_unchanged() -> None:
    parsed = ast.parse("import os\ndef f():\n    return lost\ndef g():\n    return gone\n")
    was = ast.dump(parsed)
    assert unresolved_names.pyflakes_undefined(parsed) == {"lost", "gone"}
    assert unresolved_names.pyflakes_undefined(parsed, parsed.body[1:2]) == {"gone"}
    assert ast.dump(parsed) == was


def test_idempotent_check_stops_repeated_plan() -> None:
    assert failed_checks(case(good(), again=1)) == ["idempotent"]


def test_names_check_accepts_names_unbound_before() -> None:
    source = decode_source(b"import zmq\nc = zmq.Context()\ndef f():\n    return lost\n", "it.py")
    assert isinstance(source, SourceText)
    parsed = parse(source)
    assert isinstance(parsed, Parsed)
    changes: list[Change] = [
        replace_node(find(ast.Attribute, "zmq.Context")(parsed.tree), "argosy.wire.context"),
        Insertion(position_of(parsed.tree.body[0]), "import argosy.wire"),
    ]
    made = output(apply_changes(source, changes))
    assert (
        failed_checks(
            CheckInput(SourceView("it.py", parsed), made, [RewriteStep(parsed, tuple(changes))], lambda v: 0)
        )
        == []
    )
