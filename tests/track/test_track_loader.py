"""Track file: what it may contain, and faults with their places."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fault import InputError
from argosy.fleet.json_schema import json_schema_of
from argosy.track import load_track, read_track
from argosy.track.track_spec import Tolerance, TrackKeys
from argosy.track.track_template import render_template

WHOLE = """\
track: harbour
start: 2026-11-02
measures:
  suite: {run: 'python suite.py --json', inputs: ['**/*.py'], timeout: 2m, env: {DEEP: 1}}
objectives:
  contexts:
    title: One context in a process
    slot: 2-4
    priority: high
    effort: 3d
    claimed:
      - {text: 113 to 20, source: the old tracker, value: 20}
    metrics:
      own: {measure: audit.Z301.count, tree: src, target: 0, tolerance: 5 %, baseline: {at: HEAD~1}}
      passed: {uses: suite, read: {json: [results, 'a.b', passed]}, baseline: {read: {json: was}}}
      lines: {run: [cat, notes.txt], read: {lines: true}, baseline: {stated: 3, source: a review}}
      memory: {stated: 365, unit: MB, source: the old tracker}
"""


def test_track_loader_reads_complete_file() -> None:
    track = load_track("track.yaml", WHOLE)
    (objective,) = track.objectives
    assert (objective.weeks, objective.effort_hours, objective.priority) == ((2, 4), 24.0, "high")
    own, passed, lines, memory = objective.metrics
    assert (own.name, own.unit, own.is_portable, own.tolerance) == (
        "contexts.own",
        "findings",
        True,
        Tolerance(share=0.05),
    )
    assert own.baseline is not None
    assert (own.baseline.commit, own.baseline.measure) == ("HEAD~1", own.measure)
    assert passed.measure is not None
    assert passed.measure.command == ("python", "suite.py", "--json")
    assert passed.measure.timeout_s == 120
    assert passed.measure.env == (("DEEP", "1"),)
    assert passed.measure.description() == "python suite.py --json (json results.a.b.passed)"
    assert passed.baseline is not None
    assert passed.baseline.measure is not None
    assert passed.baseline.measure.command == passed.measure.command
    assert passed.baseline.measure.parser != passed.measure.parser
    assert lines.baseline is not None
    assert lines.baseline.stated == 3
    assert (memory.measure, memory.stated) == (None, 365)


FAULTS = {
    "objectives: {}": "track.yaml:1:1: the file has no `track`",
    "track: t\nobjectives: {}": "track.yaml:2:1: `objectives` is empty",
    "track: t\nobjectives: {a: {title: t, metrics: {}}}": "`objectives.a` has no metric",
    "track: t\nobjectives: {a: {title: t, metrics: {m: {}}}}": "`objectives.a.metrics.m` has no measure",
    "track: t\nobjectives: {a: {title: t, metrics: {m: {measure: audit.Z301.cuont}}}}": "did you mean",
    "track: t\nobjectives: {a: {title: t, metrics: {m: {uses: x, read: {exit: true}}}}}": "no `x`",
    "track: t\nobjectives: {a: {title: t, metrics: {m: {run: ls}}}}": "no `read`",
    "track: t\nobjectives: {a: {title: t, metrics: {m: {run: ls, read: {match: '('}}}}}": "not a regular",
    "track: t\nobjectives: {a: {title: t, metrics: {m: {run: 'a \"', read: {exit: true}}}}}": "be split",
    "track: t\nobjectives: {a: {title: t, slot: 3, metrics: {m: {stated: 1}}}}": "counted from `start`",
    "track: t\nstart: 2026-13-01\nobjectives: {a: {title: t, metrics: {m: {stated: 1}}}}": "is not a date",
    "track: t\nobjectives: {a: {title: t, metrics: {m: {stated: 1, tolerance: few}}}}": "`5 %`",
    "track: t\nobjectives: {a: {title: t, metrics: {m: {measure: fleet.pss, tree: x}}}}": "about a fleet",
    "track: t\nobjectives: {a: {title: t, metrics: {m: {measure: hub.lost, baseline: {}}}}}": "to measure",
    "track: t\nobjectives: {a: {title: t, claimed: [{text: c, source: s}], metrics: {m: {stated: 1}}}}": (
        "no target"
    ),
}


@pytest.mark.parametrize("text", FAULTS)
def test_track_file_fault_has_place(text: str) -> None:
    with pytest.raises(InputError) as raised:
        load_track("track.yaml", text)
    assert FAULTS[text] in str(raised.value)
    assert all(fault.where.startswith("track.yaml:") for fault in raised.value.faults)


@given(st.text(alphabet=" \n-:{}[]'\"abz019.%", max_size=200))
def test_track_reader_returns_track_or_faults_for_any_text(text: str) -> None:
    track, faults = read_track("track.yaml", text)
    assert (track is None) == bool(faults)


def test_track_schema_agrees_with_loader() -> None:
    import yaml  # noqa: PLC0415

    schema = json_schema_of(TrackKeys, "track.yaml")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for text in (WHOLE, render_template("a fleet", has_fleet=True)):
        document = yaml.safe_load(text.replace("start: 2026-11-02", "start: '2026-11-02'"))
        validator.validate(document)
        load_track("track.yaml", text)


def test_docs_list_every_track_file_key() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/track-file.md").read_text()
    schema = json_schema_of(TrackKeys, "track.yaml")
    for name, struct in schema["$defs"].items():
        for key in struct["properties"]:
            assert f"`{key}`" in text, f"{key} of {name}"
