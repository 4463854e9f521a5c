"""Measurer: values from commands and audits, failed measures, and stale metrics."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.track import load_track
from argosy.track.command_runner import MeasurementError, MeasureOutput, parse_number_output
from argosy.track.measurement_ledger import MeasurementRecord, read_ledger
from argosy.track.measurer import MeasurementJob, Measurer, find_stale, measure_all
from argosy.track.track_spec import OutputParser
from track.conftest import Tree


def measured(tree: Tree, metric: str, **variables: str) -> MeasurementRecord:
    text = f"track: t\nobjectives: {{o: {{title: t, metrics: {{m: {metric}}}}}}}\n"
    track = load_track(tree.root / "track.yaml", text)
    (one,) = track.metrics()
    assert one.measure is not None
    return Measurer(track, str(tree.root), {**os.environ, **variables}).measure(
        MeasurementJob(one, "current", one.measure)
    )


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("{run: [python, -c, 'print(\"total 1,234 of it\")'], read: {match: 'total ([\\d,]+)'}}", 1234.0),
        (
            '{run: [python, -c, \'print("{\\"a\\": {\\"b/c\\": [1, 2.5]}}")\'], read: {json: [a, b/c, 1]}}',
            2.5,
        ),
        ('{run: [python, -c, \'print("{\\"a\\": [1, 2, 3]}")\'], read: {json: a}}', 3.0),
        ("{run: [printf, 'a\\n\\nb\\n'], read: {lines: true}}", 2.0),
        ("{run: [sh, -c, 'exit 7'], read: {exit: true}}", 7.0),
    ],
)
def test_measurer_parses_command_output(tree: Tree, metric: str, value: float) -> None:
    record = measured(tree, metric)
    assert (record.value, record.trouble) == (value, "")


@pytest.mark.parametrize(
    ("metric", "trouble"),
    [
        ("{run: [no-such-program], read: {exit: true}}", "cannot be run"),
        ("{run: [sh, -c, 'echo gone wrong >&2; exit 3'], read: {lines: true}}", "exit code 3: gone wrong"),
        ("{run: [echo, x], read: {json: a}}", "is not JSON"),
        ("{run: [echo, '{\"b\": 1}'], read: {json: a}}", "no `a`; there is b"),
        ("{run: [echo, '{\"a\": null}'], read: {json: a}}", "is null, not a number"),
        ("{run: [echo, x], read: {match: '(\\d+)'}}", "nothing in its output"),
        ("{run: [echo, $NOT_SET_HERE], read: {lines: true}}", "`$NOT_SET_HERE` is not set"),
        ("{run: [sleep, '60'], read: {exit: true}, timeout: 100ms}", "timed out after 0.1 s"),
        ("{measure: audit.Z301.count, tree: nowhere}", "there is no directory"),
    ],
)
def test_failed_measure_has_no_value_and_reason(tree: Tree, metric: str, trouble: str) -> None:
    record = measured(tree, metric)
    assert record.value is None
    assert trouble in record.trouble


def test_repeated_measure_records_median_and_spread(tree: Tree) -> None:
    tree.write(
        "next.py",
        "from pathlib import Path\np = Path('n')\nn = int(p.read_text()) if p.exists() else 0\n"
        "p.write_text(str(n + 1))\nprint([5, 100, 7][n])\n",
    )
    record = measured(tree, "{run: [python, next.py], read: {match: '\\d+'}, repeat: 3}")
    assert (record.value, record.values) == (7.0, (5.0, 100.0, 7.0))
    assert record.spread == pytest.approx(1.4826 * 2)


def test_metrics_share_one_run_of_their_command(tree: Tree) -> None:
    text = (
        "track: t\nmeasures: {both: {run: [sh, -c, 'echo x >> ran; echo 1; echo 2']}}\n"
        "objectives: {o: {title: t, metrics: {"
        "a: {uses: both, read: {lines: true}}, b: {uses: both, read: {match: '2'}}}}}\n"
    )
    track = load_track(tree.root / "track.yaml", text)
    measurer = Measurer(track, str(tree.root), os.environ)
    jobs = find_stale(track, read_ledger(track.ledger), measurer)
    records = list(measure_all(track, jobs, measurer, os.environ, lambda name: None))
    assert [record.value for record in records] == [2.0, 2.0]
    assert (tree.root / "ran").read_text() == "x\n"


def test_metric_is_stale_after_input_change(tree: Tree) -> None:
    tree.write("a.py", "x = 1\n")
    tree.write("b.txt", "1\n")
    text = (
        "track: t\nobjectives: {o: {title: t, metrics: {"
        "py: {run: [true], read: {exit: true}, inputs: ['**/*.py']}, "
        "all: {run: [true], read: {exit: true}}, "
        "out: {run: [true], read: {exit: true}, inputs: [$OUTSIDE]}, "
        "tree: {measure: audit.all.count}}}}\n"
    )
    tree.write("track.yaml", text)
    track = load_track(tree.root / "track.yaml")
    outside = tree.root.parent / "outside.txt"
    outside.write_text("1")
    variables = {**os.environ, "OUTSIDE": str(outside)}

    def stale(records: Any = (), **more: str) -> list[str]:
        measurer = Measurer(track, str(tree.root), {**variables, **more})
        ledger = read_ledger(track.ledger).with_records(records)
        return [job.metric.name.removeprefix("o.") for job in find_stale(track, ledger, measurer)]

    measurer = Measurer(track, str(tree.root), variables)
    jobs = find_stale(track, read_ledger(track.ledger), measurer)
    records = list(measure_all(track, jobs, measurer, variables, lambda name: None))
    assert stale() == ["py", "all", "out", "tree"]
    assert stale(records) == []
    tree.write("b.txt", "2\n")
    assert stale(records) == ["all"]
    tree.write("b.txt", "1\n")
    tree.write("a.py", "x = 2\n")
    assert stale(records) == ["py", "all", "tree"]
    tree.write("a.py", "x = 1\n")
    outside.write_text("2")
    assert stale(records) == ["out"]
    outside.unlink()
    assert stale(records) == [], "what is not here cannot have been seen to change"
    tree.write("track/records/x.jsonl", "")
    tree.write("TRACK.md", "made")
    assert stale(records) == [], "the ledger and the report are no inputs"


def test_baseline_commit_is_measured_in_separate_worktree(tree: Tree) -> None:
    tree.write("a.py", "import zmq\ncontext = zmq.Context()\n")
    metric = "{measure: audit.Z301.count, baseline: {at: 'HEAD~1'}}"
    text = f"track: t\nobjectives: {{o: {{title: t, metrics: {{m: {metric}}}}}}}\n"
    tree.write("track.yaml", text)
    first = tree.commit()
    tree.write("a.py", "x = 1\n")
    tree.commit()
    track = load_track(tree.root / "track.yaml")
    measurer = Measurer(track, str(tree.root), os.environ)
    jobs = find_stale(track, read_ledger(track.ledger), measurer)
    records = {
        record.role: record for record in measure_all(track, jobs, measurer, os.environ, lambda name: None)
    }
    assert (records["current"].value, records["baseline"].value) == (0.0, 1.0)
    assert (records["baseline"].commit, records["baseline"].is_dirty) == (first, False)
    assert tree.git("worktree", "list").count("\n") == 0, "no work tree is left"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    st.lists(st.text(max_size=3), max_size=3),
)
def test_json_parser_returns_number_or_error(value: Any, path: list[str]) -> None:
    import json  # noqa: PLC0415

    output = MeasureOutput(json.dumps(value), 0, "")
    try:
        number = parse_number_output(output, OutputParser("json", tuple(path)))
    except MeasurementError as error:
        number = float(bool(str(error)))
    assert isinstance(number, float)


def test_image_and_hub_measures_read_stored_state(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tree.root.parent / "state"))
    tree.write("fleet.yaml", "fleet: f\nagents: {A: {run: a.py}}\n")
    assert "no image of" in measured(tree, "{measure: image.size}").trouble
    assert "no hub of" in measured(tree, "{measure: hub.lost}").trouble
    good = '{"way":"chroot","imported":1,"failed":{},"ready":1,"waiting":0,"faults":[],'
    good += '"healthy_s":1,"stopped_s":1}'
    entry = '{"digest":"d","agents":["A"],"unpacked_bytes":%d,"stored_bytes":3,"layers":[],"proof":%s}'
    images = f'"a":{entry % (7, good)},"b":{entry % (9, "null")}'
    tree.write(".argosy/images/images.json", f'{{"images":{{{images}}},"shared_bytes":5}}')
    values = [measured(tree, f"{{measure: image.{name}}}").value for name in ("size", "largest", "unproven")]
    assert values == [5.0, 9.0, 1.0]
