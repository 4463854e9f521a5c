"""Exit paths: the analysis agrees with really running the function."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.refit.analysis.exit_paths import SocketEvent, find_open_exits


def exits_of(source: str) -> list[tuple[str, int]]:
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    kinds: dict[str, SocketEvent] = {
        "make": "create",
        "close": "close",
        "give": "escape",
        "use": "use",
    }
    events: dict[ast.AST, SocketEvent] = {
        node: kinds[node.func.id]
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds
    }
    return [(found.kind, found.line) for found in find_open_exits(function.body, events, "s")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("s = make()", [("end", 2)]),
        ("s = make()\nclose()", []),
        ("s = make()\nuse()\nclose()", [("use", 3)]),
        ("s = make()\ntry:\n    use()\nfinally:\n    close()", []),
        ("if a:\n    s = make()\nclose()", []),
        ("s = make()\nwith a, b(s):\n    return 1", [("return", 4)]),
        ("while a:\n    s = make()\nclose()", [("recreate", 3)]),
        ("for a in b:\n    s = make()\n    if a:\n        break\n    close()", [("end", 6)]),
        ("s = make()\nmatch a:\n    case 1:\n        close()", [("end", 5)]),
        ("s = make()\nwith suppress(ValueError):\n    use()\n    give()", [("end", 5)]),
        ("s = make()\nwhile True:\n    pass", []),
        ("s = make()\nsys.exit(1)", []),
        (
            "s = None\ntry:\n    s = make()\n    use()\nexcept E:\n    raise\n"
            "finally:\n    if s:\n        close()",
            [],
        ),
        ("s = make()\ntry:\n    use()\nexcept ValueError:\n    pass\nclose()", [("use", 4)]),
        ("s = make()\ntry:\n    use()\nexcept Again:\n    return\nclose()", [("return", 6)]),
        ("s = make()\nif s is None:\n    return\nclose()", []),
        ("s = make()\ntry:\n    close()\nfinally:\n    return", []),
    ],
)
def test_exit_paths_finds_exits_with_open_socket(body: str, expected: list[tuple[str, int]]) -> None:
    assert exits_of("def f():\n" + "".join(f"    {line}\n" for line in body.split("\n"))) == expected


class _StopError(Exception):
    pass


_LEAF = st.sampled_from(["s = make()", "close()", "use()", "return 1", "raise Stop()", "pass"])


def _blocks(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    def pad(lines: list[str]) -> list[str]:
        return [f"    {line}" for line in lines]

    return st.one_of(
        st.tuples(inner, inner).map(lambda two: ["if flip():", *pad(two[0]), "else:", *pad(two[1])]),
        st.tuples(inner, inner).map(lambda two: ["try:", *pad(two[0]), "finally:", *pad(two[1])]),
        st.tuples(inner, inner).map(lambda two: ["try:", *pad(two[0]), "except Exception:", *pad(two[1])]),
        inner.map(lambda lines: ["while flip():", *pad(lines)]),
        st.tuples(inner, inner).map(lambda two: [*two[0], *two[1]]),
    )


_BODIES = st.recursive(_LEAF.map(lambda line: [line]), _blocks, max_leaves=8)


@given(_BODIES, st.lists(st.booleans(), min_size=12, max_size=12))
def test_exit_paths_reports_everything_run_leaves_open(body: list[str], flips: list[bool]) -> None:
    """Every way that a real run takes and that leaves the thing open is among those that are told."""
    source = "def f():\n" + "".join(f"    {line}\n" for line in body)
    coins = iter(flips)
    held = {"open": 0, "again": 0}

    def make() -> int:
        held["again"] += held["open"]
        held["open"] = 1
        return 1

    def close() -> None:
        held["open"] = 0

    def use() -> None:
        if next(coins, False):
            raise _StopError

    names = {"make": make, "close": close, "use": use, "flip": lambda: next(coins, False), "Stop": _StopError}
    exec(compile(source, "f", "exec"), names)
    try:
        names["f"]()  # type: ignore[operator]
    except _StopError:
        pass
    told = exits_of(source)
    if held["again"]:
        assert any(how == "recreate" for how, _ in told)
    if held["open"]:
        assert any(how != "recreate" for how, _ in told)
