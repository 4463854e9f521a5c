"""Reports: the same records give the same bytes, and texts are escaped."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from argosy.track.html_report import render_badge, render_html
from argosy.track.markdown_report import is_unedited, render_comment, render_line, render_markdown
from argosy.track.measurement_ledger import MeasurementLedger
from argosy.track.ratchet import Regression
from argosy.track.report_model import format_value, make_report
from track.test_measurement_ledger import record
from track.test_metric_status import DAYS, judged, series, tracked

METRIC = "target: 5, unit: s, baseline: {stated: 9, source: 'tracker.md:3'}"
CLAIMED = "claimed: [{text: it takes 4 s, source: the tracker, value: 4}],"


def test_markdown_report_has_all_sections_and_is_reproducible() -> None:
    track, records = tracked(METRIC, claimed=CLAIMED), series(8, 7, 5)
    texts = set()
    for _ in range(2):
        report = make_report(track, [judged(track, records)], MeasurementLedger(tuple(records)))
        texts.add(render_markdown(report))
    (text,) = texts
    assert is_unedited(text)
    assert not is_unedited(text.replace("5 s", "4 s", 1))
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "Objectives",
        "Total impact",
        "Success metrics",
        "Roadmap",
        "Key achievements",
        "Evidence",
    ]
    assert "**refuted**, claimed 4, measured 5" in text
    assert "| 9 s (*stated*, tracker.md:3) | 5 s | -44.4 % |" in text
    assert "| 4 | 2026-11-23 to 2026-11-29 |" in text
    assert "█▆▁" in text
    assert f"`true (exit)` | ccccccccc | {DAYS[2]}" in text


def test_report_lists_missing_measurement_as_next_action() -> None:
    track = tracked("target: 5")
    text = render_markdown(make_report(track, [judged(track, [])], MeasurementLedger()))
    assert "## Next actions" in text
    assert "measure `o.m`: never measured" in text
    assert "## Key achievements" not in text


def test_html_report_is_well_formed_and_self_contained() -> None:
    track, records = (
        tracked(METRIC, claimed=CLAIMED.replace("it takes", "<script> & it takes")),
        series(8, 7, 5),
    )
    page = render_html(make_report(track, [judged(track, records)], MeasurementLedger(tuple(records))))
    assert "<script" not in page
    assert "src=" not in page
    assert "<polyline" in page

    class Closed(HTMLParser):
        open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "polyline", "circle"):
                self.open = [*self.open, tag]

        def handle_endtag(self, tag: str) -> None:
            if tag not in ("polyline", "circle"):
                assert self.open[-1] == tag
                self.open = self.open[:-1]

    parser = Closed()
    parser.feed(page)
    assert parser.open == []


def test_badge_is_svg_with_label() -> None:
    objective_status = judged(tracked("target: 5"), series(3))
    root = ElementTree.fromstring(render_badge("a <fleet>", [objective_status]))
    assert root.attrib["aria-label"] == "a <fleet>: 1 of 1 achieved"


def test_comment_lists_regressions_first() -> None:
    objective_status = judged(tracked("target: 5"), series(3, 4))
    text = render_comment([objective_status], [Regression("o.m", "1 worse than its best, 3")], 2)
    assert text.splitlines()[2:4] == ["1 worse:", "- `o.m`: 1 worse than its best, 3"]
    assert "2 known findings are resolved" in text
    assert render_line([objective_status]).startswith("Measured, not claimed: 1 objective: 1 regressed;")


@given(st.text(max_size=60))
def test_markdown_table_escapes_any_text(text: str) -> None:
    track, records = tracked("target: 5"), [record(None, trouble=text)]
    lines = render_markdown(
        make_report(track, [judged(track, records)], MeasurementLedger(tuple(records)))
    ).splitlines()
    rows = [line.replace("\\|", "") for line in lines if line.startswith("| o.m")]
    assert [row.count("|") for row in rows] == [8, 8]


def test_format_value_shows_unit() -> None:
    assert [
        format_value(1234.0, "files"),
        format_value(0.12345, "s"),
        format_value(2**31, "bytes"),
        format_value(3.0, ""),
    ] == [
        "1,234 files",
        "0.1235 s",
        "2 GiB",
        "3",
    ]
