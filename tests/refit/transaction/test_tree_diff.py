"""Tree and token diff: they accept the planned changes and nothing else."""

from __future__ import annotations

import ast
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fleet import load_fleet
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.registry import load_codemods, load_references
from argosy.refit.rules.z301_own_context.codemod import plan
from argosy.refit.transaction.source_change import Change, Deletion, Insertion, position_of, replace_node
from argosy.refit.transaction.source_view import SourceView
from argosy.refit.transaction.text_edit import apply_changes
from argosy.refit.transaction.token_diff import first_unexpected_token
from argosy.refit.transaction.tree_diff import find_deviation, first_difference
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, decode_source, split_lines
from refit.transaction.source_writer import marked_programs, written

BEFORE = "import zmq  # wire\nctx = zmq.Context()  # mine\nx = 1  # one\ny = f'{x}' if x else \"\"\n"


def changes() -> list[Change]:
    body = ast.parse(BEFORE).body
    assert isinstance(body[1], ast.Assign)
    assert isinstance(body[1].value, ast.Call)
    return [replace_node(body[1].value.func, "lease"), Insertion(position_of(body[0]), "import n")]


GOOD = "import zmq  # wire\nimport n\nctx = lease()  # mine\nx = 1  # one\ny = f'{x}' if x else \"\"\n"


def token_deviation(before: str, after: str, made: list[Change]) -> str | None:
    return first_unexpected_token(before, after, made, ast.parse(before))


def judge(after: str) -> tuple[str | None, str | None]:
    return find_deviation(ast.parse(BEFORE), ast.parse(after), changes()), token_deviation(
        BEFORE, after, changes()
    )


def test_diff_accepts_planned_changes() -> None:
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
def test_diff_rejects_unplanned_changes(after: str) -> None:
    tree, token_deviation = judge(after)
    assert tree is not None
    assert token_deviation is not None


@pytest.mark.parametrize(
    "after", [GOOD.replace("# one", "# two"), GOOD.replace("  # mine", ""), GOOD + "# more\n"]
)
def test_token_diff_rejects_changed_comment(after: str) -> None:
    tree, token_deviation = judge(after)
    assert tree is None
    assert token_deviation is not None
    assert "comment" in token_deviation


def test_token_diff_accepts_removed_comments_of_deleted_statement() -> None:
    before = "# above\nx = f(\n    1,  # inner\n)  # behind\n# below\ny = 2\n"
    removed: list[Change] = [Deletion(position_of(ast.parse(before).body[0]))]
    assert token_deviation(before, "# above\n# below\ny = 2\n", removed) is None
    assert token_deviation(before, "# above\ny = 2\n", removed) is not None
    assert find_deviation(ast.parse(before), ast.parse("y = 2\n"), removed) is None


def test_tree_diff_reports_change_without_node() -> None:
    stranger = [Deletion(position_of(ast.parse("\n\n\n\nz = 1").body[0]))]
    told = find_deviation(ast.parse(BEFORE), ast.parse(BEFORE), stranger)
    assert told == "there is no Assign at line 5, column 1"


@pytest.mark.parametrize(
    ("left", "right"), [("1", "1.0"), ("0.0", "-0.0"), ("'a'", "b'a'"), ("[a]", "[a, b]")]
)
def test_tree_diff_finds_differing_values(left: str, right: str) -> None:
    assert first_difference(ast.parse(left), ast.parse(right)) is not None
    assert first_difference(ast.parse(left), ast.parse(f"\n\n{left}")) is None


def test_tree_diff_handles_deep_tree_without_recursion() -> None:
    deep = "x = " + " + ".join(["1"] * 600)
    assert first_difference(ast.parse(deep), ast.parse(deep)) is None


def parsed(data: bytes) -> Parsed | None:
    source = decode_source(data, "it.py")
    made = parse(source) if isinstance(source, SourceText) else source
    return made if isinstance(made, Parsed) else None


def damaged(lines: list[str], dice: random.Random) -> list[str]:
    """Return the lines with one of them gone, doubled, moved, longer, or with one character exchanged."""
    at = dice.randrange(len(lines))
    line = lines[at]
    char = dice.randrange(len(line) + 1)
    made = {
        "none": [line],
        "gone": [],
        "double": [line, line],
        "behind": [*lines[at + 1 : at + 2], line],
        "char": [line[:char] + dice.choice("#'x \\(") + line[char + 1 :]],
        "comment": [line + "  # new"],
    }
    how = dice.choice(sorted(made))
    return [*lines[:at], *made[how], *lines[at + 1 + (how == "behind") :]]


WHOLE = ast.Module([], [])  # without a statement to be seen the only window is the whole file


@given(marked_programs(), st.randoms(use_true_random=False))
def test_windowed_diff_agrees_with_whole_file_diff(
    program: tuple[str, str, str, bool], dice: random.Random
) -> None:
    text = program[0].replace("@", "zmq.Context()")
    file = parsed(written(text, *program[1:]))
    assert file is not None
    made = plan(SourceView("it.py", file), TreeIndex({"it.py": file.source.data})).changes
    source = decode_source(apply_changes(file.source, made), "it.py")
    assert isinstance(source, SourceText)
    before, after = file.source.text(), source.text()
    assert first_unexpected_token(before, after, made, file.tree) is None
    spoilt = "\n".join(damaged(split_lines(after), dice))
    assert first_unexpected_token(before, spoilt, made, file.tree) == first_unexpected_token(
        before, spoilt, made, WHOLE
    )
    for text in (after, spoilt):
        whole = parsed(text.encode(file.source.encoding))
        if (
            whole is not None and whole.source.text() == text
        ):  # the line that names the encoding may be spoilt
            lines = split_lines(before), split_lines(text)
            told = find_deviation(file.tree, whole.tree, made)
            assert find_deviation(file.tree, whole.tree, made, lines) == told


def test_tree_diff_rejects_wrong_inserted_statement() -> None:
    before, after = "x = 1\ny = 2\n", "x = 1\ny = 2\nx = 1\n"
    change: list[Change] = [Insertion(position_of(ast.parse(before).body[1]), "z = 1")]
    lines = before.split("\n"), after.split("\n")
    told = find_deviation(ast.parse(before), ast.parse(after), change, lines)
    assert told is not None
    assert told == find_deviation(ast.parse(before), ast.parse(after), change)
    good = "x = 1\ny = 2\nz = 1\n"
    assert find_deviation(ast.parse(before), ast.parse(good), change, (lines[0], good.split("\n"))) is None


@pytest.mark.parametrize(
    "before",
    [
        "x = 1; y = (\n  zmq.Context(), 2)  # on\nz = 1\n",
        "if (a\n  ): c = zmq.Context(); d = '''\n  '''\n",
        "if a: \\\n  c = zmq.Context()\n",
        "@f(zmq.Context())\n# between\ndef g():\n    pass\n",
        "match x:\n  case 1:\n    c = zmq.Context() \\\n      , 1\n",
        "try:\n  pass\nexcept A:\n  c = zmq.Context()\n  # last\n",
    ],
)
def test_token_diff_window_covers_whole_statement(before: str) -> None:
    tree = ast.parse(before)
    call = next(node for node in ast.walk(tree) if isinstance(node, ast.Call) and not node.args)
    change: list[Change] = [replace_node(call.func, "lease")]
    after = before.replace("zmq.Context", "lease").split("\n")
    assert first_unexpected_token(before, "\n".join(after), change, tree) is None
    for number, line in enumerate(after):
        spoilt = "\n".join([*after[:number], f"{line} # more", *after[number + 1 :]])
        assert first_unexpected_token(before, spoilt, change, tree) == first_unexpected_token(
            before, spoilt, change, WHOLE
        )


def test_tree_diff_leaves_tree_unchanged() -> None:
    tree = ast.parse(BEFORE)
    assert find_deviation(tree, ast.parse(GOOD), changes()) is None
    assert ast.dump(tree, include_attributes=True) == ast.dump(ast.parse(BEFORE), include_attributes=True)


FLEET = """\
fleet: harbour
machines: {main: {}}
environments: {development: {main: 192.168.1.2, redis: 10.0.0.7}}
agents:
  One: {run: case.py, machine: main, port: 5000}
"""


def test_codemod_plan_leaves_tree_unchanged() -> None:
    """The gates compare the trees that were planned on, so planning must only have looked at them."""
    fleet, looked = load_fleet("fleet.yaml", FLEET), 0
    for ruled in load_references():
        for case in (*ruled.must_find, *ruled.must_not_find):
            files = case.files_by_path()
            index = TreeIndex(files, fleet)
            for path, data in files.items():
                if not path.endswith(".py") or (file := parsed(data)) is None:
                    continue
                was = ast.dump(file.tree, include_attributes=True)
                for each in load_codemods():
                    each.plan(SourceView(path, file), index)
                assert ast.dump(file.tree, include_attributes=True) == was
                looked += 1
    assert looked > 300
