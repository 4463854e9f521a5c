"""Bench results: ratios, values and the order of rounds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from testbed.result import ratio_of, value_of
from testbed.runner import interleave


def test_ratio_is_computed_within_each_round():
    # The medians of the sides alone would give 4/2: the second round was slow for both.
    ratio = ratio_of([1.0, 40.0, 4.0], [2.0, 20.0, 1.0], goal=1.0, unit="s")

    assert (ratio.median, ratio.min, ratio.max, ratio.n) == (2.0, 0.5, 4.0, 3)
    assert (ratio.left, ratio.right) == (4.0, 2.0)


@pytest.mark.parametrize(
    ("left", "better", "is_at_goal"),
    [(1.0, "lower", True), (1.1, "lower", False), (1.0, "higher", True), (0.9, "higher", False)],
)
def test_ratio_reaches_goal_from_better_side(left, better, is_at_goal):
    assert ratio_of([left], [1.0], goal=1.0, unit="s", better=better).is_at_goal is is_at_goal


def test_ratio_refuses_sides_of_different_length():
    with pytest.raises(ValueError, match="zip"):
        ratio_of([1.0, 2.0], [1.0], goal=1.0, unit="s")


def test_ratio_and_value_refuse_empty_measurements():
    with pytest.raises(ValueError, match="at least one round"):
        ratio_of([], [], goal=1.0, unit="s")
    with pytest.raises(ValueError, match="at least one measurement"):
        value_of([], "s")


def test_value_has_four_digits_minimum_and_maximum():
    value = value_of([3.14159, 1.0, 5.0], "s", goal=4.0)

    assert (value.value, value.min, value.max, value.n, value.goal) == (3.142, 1.0, 5.0, 3, 4.0)


def test_interleave_starts_no_round_that_would_exceed_deadline():
    now = iter([0.0, 20.0, 20.0, 45.0, 45.0])  # begin and end of two rounds, and the begin of a third

    taken = list(interleave(5, "ab", deadline_s=48.0, clock=lambda: next(now)))

    assert [number for number, _ in taken] == [0, 0, 1, 1]


def test_interleave_always_runs_first_round():
    assert len(list(interleave(5, "ab", deadline_s=0.0))) == 2


def test_interleave_reverses_every_second_round():
    assert list(interleave(3, "ab")) == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]
