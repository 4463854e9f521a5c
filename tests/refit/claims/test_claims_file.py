"""Claims file: every fault of it is reported with its place."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from argosy.fault import InputError
from argosy.fleet.json_schema import json_schema_of
from argosy.refit.claims.claim_spec import ClaimKeys, ClaimQuery, ClaimsKeys, CountRange, FileScope
from argosy.refit.claims.claims_file import load_claims, parse_count_range, read_claims
from argosy.refit.claims.query_registry import query_kinds

GOOD = """\
about: a fleet
fleet: fleet.yaml
scopes:
  mine: [agents/*.py, "!agents/old.py"]
claims:
  loops: {text: 41 loops, source: a review, count: python.same _loop, in: mine, is: 41}
  agents: {text: 84 agents, source: a review, count: fleet.agents, is: at least 84, places: [One]}
  files: {text: 7 files, source: me, count: python.imports zmq, in: [fleet, "tools/**"], unit: file, is: 7}
  size: {text: 365 MB, source: the tracker, measure: memory of a context}
"""


def faults(text: str) -> list[str]:
    _, found = read_claims("c.yaml", text)
    return [str(fault) for fault in found]


def test_claims_file_is_loaded() -> None:
    claims = load_claims("c.yaml", GOOD)
    loops, agents, files, size = claims.claims
    assert (claims.about, claims.fleet) == ("a fleet", ("fleet.yaml",))
    assert (loops.id, loops.query, loops.range) == (
        "loops",
        ClaimQuery("python.same", "_loop"),
        CountRange(41, 41),
    )
    assert loops.scope == FileScope(("agents/*.py",), ("agents/old.py",))
    assert loops.where.endswith("c.yaml:6:3")
    assert (agents.scope, agents.range, agents.places) == (FileScope(), CountRange(84, None), ("One",))
    assert (files.scope, files.unit) == (FileScope(("tools/**",), (), True), "file")
    assert (size.query, size.measure) == (None, "memory of a context")


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("python.same _loop", "python.sane _loop", "6:45", "`python.sane`\nhint: did you mean `python.same`"),
        ("in: mine", "in: mien", "6:71", "no scope `mien`, and it is not a glob\nhint: did you mean `mine`?"),
        ("is: 41", "is: many", "6:81", "`claims.loops.is` is `many`, expected a whole number or a range"),
        ("is: 41", "is: 9 to 3", "6:81", "expected a whole number or a range"),
        (", is: 41", "", "6:3", "`claims.loops` has neither a count nor places"),
        ("text: 41 loops, ", "", "6:10", "`claims.loops` has no `text`"),
        ("unit: file", "unit: flie", "8:96", "expected one of"),
        ("is: 41}", "is: 41, unit: file}", "6:89", "does not count places in files"),
        ("count: fleet.agents", "count: fleet.agents, in: python", "7:68", "the fleet, not about files"),
        ("measure: memory", "count: python.files, measure: memory", "9:3", "both `count` and `measure`"),
        ("measure: memory of a context", "is: 3", "9:3", "neither `count` nor `measure`"),
        ("fleet: fleet.yaml", "", "8:65", "no fleet is given"),
        ("loops:", "agents:", "7:3", "`agents` occurs twice"),
        ("about: a fleet", "abut: a fleet", "1:1", "unknown key `abut` at the top of the file"),
        ("about: a fleet", "about: !x a", "1:8", "has no meaning in a claims file"),
        (
            GOOD,
            "",
            "1:1",
            "the file is empty\nhint: `argosy schema claims` prints the schema of a claims file",
        ),
        (GOOD, "[1]", "1:1", "the file is a list, expected a mapping"),
        (GOOD, "claims: {}", "1:1", "`claims` is empty"),
        (GOOD, "claims: {a: 3}", "1:13", "`claims.a` is `3`, expected a mapping"),
    ],
)  # fmt: skip
def test_claims_file_fault_has_place(old: str, new: str, place: str, said: str) -> None:
    assert old in GOOD
    found = [fault for fault in faults(GOOD.replace(old, new, 1)) if said in fault]
    assert found, faults(GOOD.replace(old, new, 1))
    assert found[0].startswith(f"c.yaml:{place}: ") or f"/c.yaml:{place}: " in found[0], found[0]


def test_claims_file_reports_all_faults_at_once() -> None:
    with pytest.raises(InputError) as error:
        load_claims("c.yaml", GOOD.replace("_loop", "-").replace("is: 7", "is: x").replace("mine]", "x"))
    assert len(error.value.faults) == 2


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("0", 0, 0),
        ("3,350", 3350, 3350),
        ("1_000", 1000, 1000),
        ("at least 80", 80, None),
        (">= 80", 80, None),
        ("more than 80", 81, None),
        ("> 80", 81, None),
        ("at most 3", 0, 3),
        ("<=3", 0, 3),
        ("10 to 20", 10, 20),
        ("10..20", 10, 20),
        ("10-20", 10, 20),
    ],
)
def test_count_range_is_parsed(text: str, least: int, most: int | None) -> None:
    assert parse_count_range(text) == CountRange(least, most)


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_count_range_description_parses_to_same_range(one: int, other: int) -> None:
    least, most = sorted((one, other))
    for made in (
        CountRange(least, most),
        CountRange(least, None),
        CountRange(0, most),
        CountRange(most, most),
    ):
        assert parse_count_range(made.describe()) == made


@pytest.mark.parametrize(
    "text", ["", "x", "-3", "3.5", "41 loops", "1,00", "at least", "5 to 3", "3 to", "²", "9" * 30]
)
def test_invalid_count_range_is_refused(text: str) -> None:
    assert parse_count_range(text) is None


words = st.sampled_from(
    [
        "loops",
        "at least 3",
        "41",
        "fleet",
        "python",
        "a/*.py",
        "!x.py",
        "file",
        "place",
        "file-without",
        "",
        "true",
        "-1",
    ]
)
queries = st.sampled_from(sorted(query_kinds())).flatmap(
    lambda name: st.sampled_from(["", "zmq", "a.b", "(", "x.py:f"]).map(lambda word: f"{name} {word}".strip())
)
leaves = words | queries | st.integers() | st.text(max_size=8) | st.none() | st.booleans() | st.floats()
keys = st.sampled_from(
    [*(field for field in ("text", "source", "count", "measure", "in", "unit", "is", "places")), "x"]
)
claim = st.dictionaries(keys, leaves | st.lists(leaves, max_size=3), max_size=8)
whole = st.fixed_dictionaries(
    {"claims": st.dictionaries(st.sampled_from(["a", "b", "c d"]), claim, max_size=3)},
    optional={
        "fleet": words | st.lists(words, max_size=2),
        "scopes": st.dictionaries(
            st.sampled_from(["m", "fleet"]), words | st.lists(words, max_size=2), max_size=2
        ),
        "about": leaves,
    },
)


@given(whole)
def test_any_claims_document_has_faults_with_places(value: dict[str, object]) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    claims, found = read_claims("c.yaml", text)
    assert (claims is None) == bool(found)
    lines = text.count("\n") + 1
    for fault in found:
        _, line, column = fault.where.rsplit(":", 2)
        assert 1 <= int(line) <= lines
        assert int(column) >= 1
        assert fault.message
    for read in claims.claims if claims is not None else ():
        assert (read.query is None) == bool(read.measure)
        assert read.query is None or read.range is not None or read.places


@given(st.text(max_size=60))
def test_claims_reader_returns_faults_or_claims_for_any_text(text: str) -> None:
    claims, found = read_claims("c.yaml", text)
    assert (claims is None) == bool(found)


def test_claims_schema_agrees_with_loader() -> None:
    import jsonschema  # noqa: PLC0415

    schema = json_schema_of(ClaimsKeys, "claims.yaml")
    check = jsonschema.Draft202012Validator(schema)
    check.check_schema(schema)
    assert not list(check.iter_errors(yaml.safe_load(GOOD)))
    assert list(check.iter_errors({"claims": {"a": {"text": "x"}}}))
    assert list(check.iter_errors({"claims": {"a": {"text": "x", "source": "y", "kount": "z"}}}))
    properties = schema["$defs"][ClaimKeys.__name__]["properties"]
    assert all(item.get("description") for item in properties.values())
