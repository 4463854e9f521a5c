"""Markdown import: the figures and contradictions of a hand-written tracker."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from argosy.track import load_track
from argosy.track.markdown_import import parse_markdown_tracker, parse_quantity
from argosy.track.track_template import render_imported

OLD = """\
# Optimization tracker
## ✅ Completed
### 1. Health check consolidation ✅ COMPLETED
- **Duplicate loops**: 41 → 1 (3,350 lines removed)
### 2. Hardcoded IPs - COMPLETED (99.6 %)
- 462/464 patterns migrated
- Startup: **3-5 min -> 3-5 min** ✅ COMPLETE
```
- 7 of these are code
```
## Success metrics
| Metric | Baseline | Current | Target | Status |
|---|---|---|---|---|
| ZMQ contexts | 113 | 40 | 20 | ✅ Achieved |
| Hard-coded IPs | 15+ | 15+ | 0 | 🎯 Next Target |
| Image size | 3.2 GB | 2.1 GB | 2.1 GB | not done |

A sentence with 12 of something is no figure.
"""


def test_markdown_import_finds_every_figure_with_line() -> None:
    tracker = parse_markdown_tracker(OLD)
    assert tracker.title == "Optimization tracker"
    found = {
        figure.name: (figure.line, figure.baseline, figure.current, figure.target)
        for figure in tracker.metrics
    }
    assert found["Duplicate loops"] == (4, 41.0, 1.0, None)
    assert found["Startup"] == (7, 4.0, 4.0, None)
    assert found["ZMQ contexts"] == (14, 113.0, 40.0, 20.0)
    assert found["Hard-coded IPs"] == (15, 15.0, 15.0, 0.0)
    assert found["Image size"] == (16, 3.2, 2.1, 2.1)
    assert not any(figure.line in (9, 18) for figure in tracker.metrics)
    units = {figure.name: figure.unit for figure in tracker.metrics}
    assert (units["Startup"], units["Image size"]) == ("min", "GB")


def test_markdown_import_finds_contradictions() -> None:
    told = {each.lines: each.description for each in parse_markdown_tracker(OLD).contradictions}
    assert "is open" in told[5, 15]
    assert "but unchanged" in told[7,]
    assert "its target is not met" in told[14,]
    assert set(told) == {(5, 15), (7,), (14,)}


def test_markdown_import_reports_figure_with_two_values() -> None:
    tracker = parse_markdown_tracker("## Agents\n- Running agents: 84\n## Later\n- Running agents: 77\n")
    assert [each.lines for each in tracker.contradictions] == [(2, 4)]


def test_imported_tracker_has_stated_values_without_measures() -> None:
    text = render_imported(parse_markdown_tracker(OLD), "OLD.md")
    track = load_track("track.yaml", text)
    assert {metric.measure for metric in track.metrics()} == {None}
    contexts = next(metric for metric in track.metrics() if metric.name.endswith("zmq-contexts"))
    assert (contexts.stated, contexts.target, contexts.better) == (40.0, 20.0, "lower")
    assert "OLD.md:14" in contexts.source
    assert text.count("# contradiction:") == 3


def test_quantity_parser_reads_common_notations() -> None:
    read = {
        text: parse_quantity(text)
        for text in ("3,350 lines", "15+", "3-5 min", "~1.1GB", "462/464", "99.6%", "v2")
    }
    assert {text: (found.value, found.unit) for text, found in read.items() if found} == {
        "3,350 lines": (3350.0, "lines"),
        "15+": (15.0, ""),
        "3-5 min": (4.0, "min"),
        "~1.1GB": (1.1, "GB"),
        "462/464": (462.0, ""),
        "99.6%": (99.6, "%"),
    }


@given(st.text(alphabet="#|- *0123456789.,%+→>abAB ✅[]x\n", max_size=400))
def test_markdown_import_of_any_text_renders_loadable_track(text: str) -> None:
    tracker = parse_markdown_tracker(text)
    if tracker.metrics:
        written = render_imported(tracker, "a.md")
        assert yaml.safe_load(written)["objectives"]
        load_track("track.yaml", written)
