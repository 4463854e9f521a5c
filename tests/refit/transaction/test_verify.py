"""Verify command: bisection finds every file whose change makes it fail."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from argosy.refit.transaction.verify import bisect_failures

numbers = st.integers(0, 12)


@given(numbers, st.sets(numbers))
def test_bisect_finds_every_file_that_fails_alone(count: int, bad: set[int]) -> None:
    paths = [f"f{number}.py" for number in range(count)]
    guilty = {f"f{number}.py" for number in bad} & {*paths}
    asked: list[tuple[str, ...]] = []

    def is_good(chosen: Sequence[str]) -> bool:
        asked.append(tuple(chosen))
        return not guilty & {*chosen}

    kept, found = bisect_failures(paths, is_good)
    assert {*found} == guilty
    assert sorted([*kept, *found]) == sorted(paths)
    if not guilty:
        assert asked == ([tuple(paths)] if paths else [])
    # Each guilty file costs two questions for each halving, and one file is never asked about twice.
    halvings = max(count - 1, 1).bit_length()
    assert len(asked) <= 1 + 2 * len(guilty) * halvings + len(guilty)


@given(numbers, st.sets(st.frozensets(numbers, min_size=1, max_size=3), max_size=4))
def test_bisect_drops_one_of_files_that_fail_together(count: int, sets: set[frozenset[int]]) -> None:
    paths = [f"f{number}.py" for number in range(count)]
    together = [{f"f{number}.py" for number in each} for each in sets]

    def is_good(chosen: Sequence[str]) -> bool:
        return not any(each <= {*chosen} for each in together)

    kept, found = bisect_failures(paths, is_good)
    assert sorted([*kept, *found]) == sorted(paths)
    assert is_good(kept)
    # None is taken back in vain: with any of them the command fails again.
    assert not any(is_good([*kept, path]) for path in found)
