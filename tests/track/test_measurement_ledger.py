"""Measurement ledger: it appends, merges, and refuses changed records."""

from __future__ import annotations

from pathlib import Path

import msgspec

from argosy.track.inputs import InputDigests
from argosy.track.measurement_ledger import AcceptedRegression, LedgerRunFile, MeasurementRecord, read_ledger
from track.conftest import Tree


def record(value: float | None, at: str = "2026-11-01T10:00:00Z", **more: object) -> MeasurementRecord:
    made = MeasurementRecord(
        metric="o.m",
        role="current",
        value=value,
        method="true (exit)",
        at=at,
        seconds=0.1,
        commit="c" * 40,
        is_dirty=False,
        machine_id="m",
        machine="a machine",
        inputs=InputDigests("i", {"$X": "o"}),
    )
    return msgspec.structs.replace(made, **more).with_digest()


def test_ledger_reads_back_written_records(tmp_path: Path) -> None:
    rows = [record(1.0), record(None, trouble="gone"), record(2.5, values=(2.0, 2.5, 3.0), spread=0.7)]
    file = LedgerRunFile(str(tmp_path))
    for row in rows:
        file.append(row)
    file.append(AcceptedRegression(metric="o.m", why="so it is", at="2026-11-01T10:00:00Z"))
    ledger = read_ledger(str(tmp_path))
    assert list(ledger.records) == rows
    assert [one.why for one in ledger.accepted] == ["so it is"]
    assert not ledger.damaged


def test_ledger_rejects_and_reports_changed_record(tmp_path: Path) -> None:
    path = LedgerRunFile(str(tmp_path)).append(record(113.0))
    path.write_text(
        path.read_text().replace('"value":113.0', '"value":20.0') + '{"argosy":"measured/1"}\nnot json\n'
    )
    ledger = read_ledger(str(tmp_path))
    assert ledger.records == ()
    assert [fault.code for fault in ledger.damaged] == ["changed-record", "bad-record", "bad-record"]
    assert ledger.damaged[0].where.endswith(":1")


def test_ledgers_of_two_branches_merge(tree: Tree) -> None:
    tree.write("x", "")
    tree.commit()
    tree.git("checkout", "-q", "-b", "other")
    LedgerRunFile(str(tree.root / "track")).append(record(1.0, "2026-11-02T10:00:00Z"))
    tree.commit()
    tree.git("checkout", "-q", "main")
    LedgerRunFile(str(tree.root / "track")).append(record(2.0, "2026-11-01T10:00:00Z"))
    tree.commit()
    tree.git("merge", "-q", "other", "-m", "both")
    assert [one.value for one in read_ledger(str(tree.root / "track")).records] == [2.0, 1.0]
