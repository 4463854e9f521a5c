"""Remote logs: lines that are sent again after a lost connection are shown once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.cli.commands.remote_logs import ShownLines
from argosy.engine.logs.log_reader import LogLine

STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.0, 0.5])), max_size=30)


@given(STEPS, st.lists(st.integers(0, 30), max_size=3))
def test_remote_log_lines_are_shown_once_after_reconnects(
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
