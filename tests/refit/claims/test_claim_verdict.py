"""Claim verdicts: confirmed or refuted where the count is certain, uncheckable otherwise."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.refit.claims.claim_spec import CountRange, FileScope
from argosy.refit.claims.claim_verdict import compare_counts
from argosy.refit.claims.file_scopes import select_files
from argosy.refit.claims.query_result import CountBounds
from refit.claims.sample_codebase import judged, plant


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("tree"))


@pytest.mark.parametrize(
    ("claim", "word", "reason"),
    [
        ("{count: fleet.agents, is: 5}", "confirmed", "claimed 5, counted 5"),
        ("{count: fleet.agents, is: 6}", "refuted", "claimed 6, counted 5"),
        ("{count: fleet.agents, is: at most 5}", "confirmed", "claimed at most 5, counted 5"),
        ("{count: fleet.agents, is: more than 5}", "refuted", "claimed at least 6, counted 5"),
        (
            "{count: python.same _health_loop, is: 2}",
            "uncheckable",
            "2 to 3: 1 file does not parse and may have more",
        ),
        ("{count: python.same _health_loop, is: 2 to 5}", "confirmed", "counted 2 to 3"),
        ("{count: python.same _health_loop, is: 41}", "refuted", "claimed 41, counted 2 to 3"),
        ("{count: audit.Z301, is: at least 2}", "confirmed", "counted at least 3"),
        ("{count: audit.Z301, is: 3}", "uncheckable", "at least 3: 1 file does not parse and may have more"),
        ("{count: audit.Z301, is: 2}", "refuted", "claimed 2, counted at least 3"),
        ("{measure: how fast it is}", "uncheckable", "needs a measurement: how fast it is"),
        ("{count: python.files, in: 'nowhere/*', is: 0}", "uncheckable", "no file of the tree matches"),
        ("{count: fleet.needed-by Nobody, is: 0}", "uncheckable", "there is no agent `Nobody`"),
    ],
)
def test_claim_verdict_compares_count_with_claimed_range(
    tree: Path, claim: str, word: str, reason: str
) -> None:
    verdict = judged(tree, claim)
    assert (verdict.status, reason in verdict.reason) == (word, True), verdict.reason


def test_fleet_claim_without_fleet_is_uncheckable(tree: Path) -> None:
    verdict = judged(tree, "{count: fleet.agents, is: 5}", top="")
    assert (verdict.status, "no fleet is given" in verdict.reason) == ("uncheckable", True)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("agents/one.py", ""),
        ("one.py", ""),
        ("agents/one.py:8", ""),
        ("agents/one.py:One._health_loop", ""),
        ("one.py:_health_loop", ""),
        ("Two._health_loop", ""),
        ("agents/broken.py:7", ""),
        ("agents/one.py:9", "in this file it is in line 8"),
        ("agents/one.py:Two._health_loop", "in this file it is One._health_loop"),
        ("agents/three.py", "the file has no match"),
        ("agents/four.py", "there is no such file"),
        ("Three._health_loop", "it is not among the matches"),
    ],
)
def test_claim_verdict_checks_claimed_place(tree: Path, place: str, why: str) -> None:
    verdict = judged(tree, f'{{count: python.functions _health_loop, places: ["{place}"]}}')
    assert [wrong.reason for wrong in verdict.refuted_places] == ([why] if why else [])
    assert verdict.status == ("refuted" if why else "confirmed")
    assert verdict.measured == CountBounds(3, 3)


def test_claim_with_right_count_and_wrong_place_is_refuted(tree: Path) -> None:
    verdict = judged(tree, "{count: python.functions _health_loop, is: 3, places: [agents/three.py, one.py]}")
    assert (verdict.status, verdict.reason) == (
        "refuted",
        "claimed 3, counted 3; 1 of 2 places are confirmed",
    )
    assert verdict.by_tokens == 1


def test_claimed_place_in_broken_file_is_uncheckable(tree: Path) -> None:
    verdict = judged(tree, "{count: audit.Z301, is: at least 1, places: [agents/broken.py]}")
    assert (verdict.status, verdict.undecided_places) == ("uncheckable", ("agents/broken.py",))
    assert verdict.reason.endswith("0 of 1 places are confirmed; 1 may be in files that do not parse")


@pytest.mark.parametrize(
    ("claim", "word"),
    [
        ("{count: python.same _health_loop, places: [agents/two.py]}", "confirmed"),
        ("{count: python.same _health_loop, places: [agents/broken.py]}", "uncheckable"),
        ("{count: python.same _health_loop, places: [agents/three.py]}", "refuted"),
        ("{count: python.variants _health_loop, places: [agents/one.py, agents/two.py]}", "confirmed"),
        ("{count: audit.Z301, places: [Nobody.makes]}", "uncheckable"),
        ("{count: packages.distinct, places: [requirements/dev.txt:1, requirements.txt:2]}", "confirmed"),
    ],
)
def test_claim_verdict_checks_places_of_aggregate_queries(tree: Path, claim: str, word: str) -> None:
    assert judged(tree, claim).status == word


counts = st.integers(0, 6)
ends = st.none() | st.integers(0, 6)


@given(counts, ends, counts, ends)
def test_compare_counts_considers_every_possible_count(
    least: int, most: int | None, claimed_least: int, claimed_most: int | None
) -> None:
    measured = CountBounds(least, None if most is None else least + most)
    claimed = CountRange(claimed_least, None if claimed_most is None else claimed_least + claimed_most)
    possible = range(least, 30 if measured.maximum is None else measured.maximum + 1)
    truths = {
        claimed.minimum <= each and (claimed.maximum is None or each <= claimed.maximum) for each in possible
    }
    word = "confirmed" if truths == {True} else "refuted" if truths == {False} else "uncheckable"
    assert compare_counts(claimed, measured) == word


names = st.sampled_from(["a", "b", "ab", "x.py", "a.py"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
globs = st.lists(names | st.sampled_from(["*", "?", "*.py", "a*", "**"]), min_size=1, max_size=4).map(
    "/".join
)


@given(globs, st.lists(paths, max_size=6))
def test_scope_glob_agrees_with_pathlib(glob: str, some: list[str]) -> None:
    chosen = set(select_files(FileScope((glob,)), some, ()))
    for path in some:
        parts = path.split("/")
        heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        assert (path in chosen) == any(_matches(glob.split("/"), head.split("/")) for head in heads)
    assert not set(select_files(FileScope(("**",), (glob,)), some, ())) & chosen


def _matches(glob: list[str], path: list[str]) -> bool:
    """Return whether a glob means a path, part by part: the plain definition."""
    if not glob:
        return not path
    if glob[0] == "**":
        if len(glob) == 1:
            return bool(path)
        return any(_matches(glob[1:], path[count:]) for count in range(len(path) + 1))
    return bool(path) and PurePosixPath(path[0]).match(glob[0]) and _matches(glob[1:], path[1:])
