"""The proof: it accepts what the changes say, and nothing else."""

from __future__ import annotations

import ast

import pytest

from argosy.refit.rewrite.change import Change, Inserted, Removed, place_of, replaced
from argosy.refit.rewrite.proof import disproof, first_difference, first_stray

BEFORE = "import zmq  # wire\nctx = zmq.Context()  # mine\nx = 1  # one\ny = f'{x}' if x else \"\"\n"


def changes() -> list[Change]:
    body = ast.parse(BEFORE).body
    assert isinstance(body[1], ast.Assign)
    assert isinstance(body[1].value, ast.Call)
    return [replaced(body[1].value.func, "lease"), Inserted(place_of(body[0]), "import n")]


GOOD = "import zmq  # wire\nimport n\nctx = lease()  # mine\nx = 1  # one\ny = f'{x}' if x else \"\"\n"


def judge(after: str) -> tuple[str | None, str | None]:
    return disproof(ast.parse(BEFORE), ast.parse(after), changes()), first_stray(BEFORE, after, changes())


def test_what_was_planned_is_accepted() -> None:
    assert judge(GOOD) == (None, None)
    assert judge(GOOD.replace("\n", "\r\n")) == (None, None)


@pytest.mark.parametrize(
    "after",
    [
        GOOD.replace("lease()", "lease(1)"),
        GOOD.replace("lease", "zmq.Context"),
        GOOD.replace("import n\n", ""),
        GOOD.replace("import n\n", "import n\nimport n\n"),
        GOOD.replace("x = 1", "x = True"),
        GOOD.replace("x = 1", "x = 1.0"),
        GOOD.replace("if x else", "if y else"),
        GOOD + "z = 1\n",
    ],
)
def test_anything_else_is_disproved(after: str) -> None:
    tree, stray = judge(after)
    assert tree is not None
    assert stray is not None


@pytest.mark.parametrize(
    "after", [GOOD.replace("# one", "# two"), GOOD.replace("  # mine", ""), GOOD + "# more\n"]
)
def test_a_comment_that_is_not_as_it_was_is_a_stray(after: str) -> None:
    tree, stray = judge(after)
    assert tree is None
    assert stray is not None
    assert "comment" in stray


def test_the_comments_of_a_removed_statement_go_with_it() -> None:
    before = "# above\nx = f(\n    1,  # inner\n)  # behind\n# below\ny = 2\n"
    removed = [Removed(place_of(ast.parse(before).body[0]))]
    assert first_stray(before, "# above\n# below\ny = 2\n", removed) is None
    assert first_stray(before, "# above\ny = 2\n", removed) is not None
    assert disproof(ast.parse(before), ast.parse("y = 2\n"), removed) is None


def test_a_change_that_finds_no_node_is_told() -> None:
    stranger = [Removed(place_of(ast.parse("\n\n\n\nz = 1").body[0]))]
    told = disproof(ast.parse(BEFORE), ast.parse(BEFORE), stranger)
    assert told == "no Assign stands at line 5, column 1"


@pytest.mark.parametrize(
    ("left", "right"), [("1", "1.0"), ("0.0", "-0.0"), ("'a'", "b'a'"), ("[a]", "[a, b]")]
)
def test_trees_differ_where_values_do(left: str, right: str) -> None:
    assert first_difference(ast.parse(left), ast.parse(right)) is not None
    assert first_difference(ast.parse(left), ast.parse(f"\n\n{left}")) is None


def test_a_deep_tree_is_no_recursion() -> None:
    deep = "x = " + " + ".join(["1"] * 600)
    assert first_difference(ast.parse(deep), ast.parse(deep)) is None
