"""The ledger of measured values: one immutable file for each run, so that branches always merge.

`LEDGER/records/TIME-RANDOM.jsonl` contains the records of one run, one a line. A record has a digest of
itself; a record that was written by hand or changed is ignored and reported.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from argosy.fault import Fault, InputError
from argosy.track.inputs import InputDigests

Role = Literal["current", "baseline", "past"]


class MeasurementRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured value, or the error of the attempt.

    metric: `objective.metric`. value: None with an error in `trouble`. values: of each repeat. spread: their
    standard deviation. at: UTC, ISO 8601. seconds: the duration. inputs: digests of the measure's inputs.
    commit, is_dirty: of the measured tree, and whether it had changes. machine: the kind of machine;
    machine_id: a digest of it.
    """

    argosy: Literal["measured/1"] = "measured/1"
    metric: str
    role: Role
    value: float | None = None
    values: tuple[float, ...] = ()
    spread: float = 0.0
    unit: str = ""
    method: str
    at: str
    seconds: float
    commit: str
    is_dirty: bool
    machine_id: str
    machine: str
    inputs: InputDigests
    trouble: str = ""
    digest: str = ""

    def with_digest(self) -> MeasurementRecord:
        """Return the record with its digest."""
        return msgspec.structs.replace(self, digest=_digest(msgspec.structs.replace(self, digest="")))

    def is_intact(self) -> bool:
        """Return whether the record is unchanged."""
        return self == self.with_digest()


class AcceptedRegression(msgspec.Struct, frozen=True, kw_only=True):
    """A person's acceptance of a metric's value at the time `at`, with the reason `why`."""

    argosy: Literal["accepted/1"] = "accepted/1"
    metric: str
    why: str
    at: str


class _RecordKind(msgspec.Struct):
    argosy: str = ""


class MeasurementLedger(msgspec.Struct, frozen=True):
    """All records, oldest first. damaged: the lines that no run has written."""

    records: tuple[MeasurementRecord, ...] = ()
    accepted: tuple[AcceptedRegression, ...] = ()
    damaged: tuple[Fault, ...] = ()

    def of(self, metric: str, role: Role) -> list[MeasurementRecord]:
        """Return the records of one metric in one role, oldest first."""
        return [record for record in self.records if record.metric == metric and record.role == role]

    def with_records(self, more: Iterable[MeasurementRecord]) -> MeasurementLedger:
        """Return the ledger with further records."""
        return msgspec.structs.replace(self, records=(*self.records, *more))

    def with_accepted(self, one: AcceptedRegression) -> MeasurementLedger:
        """Return the ledger with a further acceptance."""
        return msgspec.structs.replace(self, accepted=(*self.accepted, one))


def read_ledger(directory: str) -> MeasurementLedger:
    """Return the ledger of a directory; an empty one if there is none."""
    records: list[MeasurementRecord] = []
    accepted: list[AcceptedRegression] = []
    damaged: list[Fault] = []
    for path in sorted(Path(directory, "records").glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if not line.strip():
                continue
            where = f"{os.path.relpath(path)}:{number}"
            try:
                if msgspec.json.decode(line, type=_RecordKind).argosy == "accepted/1":
                    accepted.append(msgspec.json.decode(line, type=AcceptedRegression))
                    continue
                record = msgspec.json.decode(line, type=MeasurementRecord)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                hint = "`git checkout` the file; records are only ever added, by `argosy track run`"
                damaged.append(Fault(where, "bad-record", f"this is not a record: {error}", hint))
                continue
            if record.is_intact():
                records.append(record)
            else:
                message = f"the record of `{record.metric}` was changed after it was measured"
                hint = f"`git checkout {os.path.relpath(path)}`, or measure again"
                damaged.append(Fault(where, "changed-record", message, hint))
    records.sort(key=lambda record: record.at)
    return MeasurementLedger(tuple(records), tuple(accepted), tuple(damaged))


class LedgerRunFile:
    """The file of one run, created with its first record and written record by record."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory, "records")
        self._path: Path | None = None

    def append(self, row: MeasurementRecord | AcceptedRegression) -> Path:
        """Write one record, and return the file. Raises InputError: it cannot be written."""
        if self._path is None:
            self._path = self._directory / f"{row.at.replace(':', '-')}-{secrets.token_hex(4)}.jsonl"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab", buffering=0) as file:
                file.write(msgspec.json.encode(row) + b"\n")
        except OSError as error:
            message = f"the ledger cannot be written: {error.strerror}"
            raise InputError(Fault(str(self._path), "unwritable", message)) from None
        return self._path


def _digest(record: MeasurementRecord) -> str:
    return hashlib.blake2b(msgspec.json.encode(record), digest_size=8).hexdigest()
