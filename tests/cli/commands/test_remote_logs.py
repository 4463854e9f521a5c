"""Lines of another machine that come once more after a cut: each is shown, and none twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.cli.commands.remote_logs import ShownLines
from argosy.engine.logs.log_reader import LogLine

STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.0, 0.5])), max_size=30)


@given(STEPS, st.lists(st.integers(0, 30), max_size=3))
def test_whatever_is_cut_and_comes_again_is_shown_once(
    steps: list[tuple[str, float]], cuts: list[int]
) -> None:
    now = {"a": 1.0, "b": 1.0}
    lines: list[LogLine] = []
    for agent, later_s in steps:
        now[agent] += later_s
        lines.append(LogLine(now[agent], agent, str(len(lines)), 7, 0, 0.0))
    shown, seen = ShownLines(), []
    for cut in [*cuts, len(lines)]:
        seen += [line.text for line in lines[:cut] if shown.is_new(line)]
        shown.restart()
    assert sorted(seen, key=int) == [line.text for line in lines]
