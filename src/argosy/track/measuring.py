"""Measures what is stale: each command, tree and fleet once, the noisy ones several times."""

from __future__ import annotations

import datetime
import os
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.fault import ArgosyError
from argosy.image.record import read_record
from argosy.refit.audit import audit
from argosy.refit.cache import default_folder
from argosy.refit.claims.scopes import UnknownScopeError
from argosy.refit.finding import Finding
from argosy.track.builtin import audit_code, find_builtin
from argosy.track.command import Output, TroubleError, read_number, run_command
from argosy.track.hublosses import count_lost
from argosy.track.inputs import InputReader, Inputs, expanded
from argosy.track.ledger import Ledger, Record, Role
from argosy.track.provenance import Revision, commit_of, machine_kind, revision, worktree
from argosy.track.spec import Measure, Metric, Track
from argosy.track.trend import spread_of
from argosy.track.trialrun import measure_fleet

Progress = Callable[[str], None]


class Job(msgspec.Struct, frozen=True):
    """One value to be measured. at: the commit to measure it on; empty for the tree as it is."""

    metric: Metric
    role: Role
    measure: Measure
    at: str = ""

    def name(self) -> str:
        """Return what a person calls it."""
        told = self.metric.name if self.role != "baseline" else f"{self.metric.name} (baseline)"
        return f"{told} at {self.at[:12]}" if self.at else told


class Measurer:
    """Measures jobs of one tracker in one folder, and keeps each output for the next job that reads it."""

    def __init__(self, track: Track, folder: str, variables: Mapping[str, str]) -> None:
        self._folder = folder
        self._variables = dict(variables)
        left_out = (track.ledger, track.report)
        moved = tuple(os.path.join(folder, os.path.relpath(path, track.folder)) for path in left_out)
        self.reader = InputReader(folder, moved, variables)
        self._revision: Revision | None = None
        self._left_out = moved
        self._outputs: dict[tuple[Hashable, int], Output | TroubleError] = {}
        self._fleets: dict[tuple[str, int], dict[str, float] | TroubleError] = {}
        self._audits: dict[str, tuple[Sequence[Finding], int] | TroubleError] = {}

    def measure(self, job: Job) -> Record:
        """Return the record of a job; trouble is a record without a value."""
        began = time.monotonic()
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        trouble, values = "", []
        try:
            values = [self.value(job.measure, turn) for turn in range(job.metric.repeat)]
        except (TroubleError, ArgosyError) as error:
            trouble = str(error) or type(error).__name__
        state = self._state()
        return Record(
            metric=job.metric.name,
            role=job.role,
            value=statistics.median(values) if values else None,
            values=tuple(values) if len(values) > 1 else (),
            spread=spread_of(values) if values else 0.0,
            unit=job.metric.unit,
            method=job.measure.method(),
            at=at,
            seconds=round(time.monotonic() - began, 2),
            commit=state.commit,
            is_dirty=state.is_dirty,
            machine_id=machine_kind().id,
            machine=machine_kind().text,
            inputs=self.inputs(job.measure),
            trouble=trouble,
        ).sealed()

    def inputs(self, measure: Measure) -> Inputs:
        """Return what a measure hangs on now."""
        try:
            return self.reader.of(measure)
        except UnknownScopeError as error:
            return Inputs(f"`{error.word}` is no glob")

    def value(self, measure: Measure, turn: int) -> float:
        """Return the value of a measure. turn: 0 for the first of several repeats.

        Raises TroubleError: it cannot be had. Raises ArgosyError: what is audited is faulty.
        """
        builtin = find_builtin(measure.builtin) if measure.builtin else None
        if builtin is None:
            assert measure.read is not None
            return read_number(self._output(measure, turn), measure.read)
        if builtin.of == "tree":
            return self._audited(measure)
        if builtin.is_live:
            return self._kept(builtin.name, self._path(measure.fleet))
        key = (self._path(measure.fleet), turn)
        if key not in self._fleets:
            try:
                self._fleets[key] = measure_fleet(key[0], self._variables, measure.timeout_s)
            except TroubleError as error:
                self._fleets[key] = error
        found = self._fleets[key]
        if isinstance(found, TroubleError):
            raise found
        return found[builtin.name]

    def findings(self, measure: Measure) -> Sequence[Finding]:
        """Return what an `audit.*` measure counts. Raises TroubleError: there is no such folder."""
        findings, _ = self._audit(self._path(measure.tree))
        if measure.builtin == "audit.all.count":
            return findings
        code = audit_code(measure.builtin) or ("S101" if "unparseable" in measure.builtin else "")
        return [item for item in findings if code and item.code.startswith(code)]

    def _kept(self, name: str, fleet: str) -> float:
        """Return what is read from a record that others keep."""
        if name == "hub.lost":
            return count_lost(fleet)
        record = read_record(Path(fleet).parent)
        if not record.images:
            raise TroubleError(f"no image was built of `{fleet}`: `argosy image build`")
        if name == "image.size":
            return float(record.shared_bytes)
        if name == "image.largest":
            return float(max(entry.unpacked_bytes for entry in record.images.values()))
        return float(sum(entry.proof is None or not entry.proof.is_good for entry in record.images.values()))

    def _audited(self, measure: Measure) -> float:
        if measure.builtin == "audit.files.count":
            return float(self._audit(self._path(measure.tree))[1])
        if measure.builtin == "audit.unparseable.count":
            return float(len({item.path for item in self.findings(measure)}))
        return float(len(self.findings(measure)))

    def _audit(self, tree: str) -> tuple[Sequence[Finding], int]:
        if tree not in self._audits:
            if not os.path.isdir(tree):
                self._audits[tree] = TroubleError(f"there is no folder `{tree}`")
            else:
                report = audit(tree, cache=default_folder())
                files = sum(path.endswith(".py") for path in report.sizes)
                self._audits[tree] = (report.findings, files)
        found = self._audits[tree]
        if isinstance(found, TroubleError):
            raise found
        return found

    def _output(self, measure: Measure, turn: int) -> Output:
        key = (source_of(measure), turn)
        if key not in self._outputs:
            try:
                self._outputs[key] = run_command(measure, self._folder, self._variables)
            except TroubleError as error:
                self._outputs[key] = error
        found = self._outputs[key]
        if isinstance(found, TroubleError):
            raise found
        return found

    def _path(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._folder, expanded(path, self._variables)))

    def _state(self) -> Revision:
        if self._revision is None:
            self._revision = revision(self._folder, self._left_out)
        return self._revision


def longest_of_sources(track: Track, ledger: Ledger) -> dict[Hashable, float]:
    """Return how long each source took, in seconds, when it was asked last.

    Of metrics that share a source only the one that was measured first has waited for it, so its time is the
    source's, and all of them cost that when it has to be asked again.
    """
    longest: dict[Hashable, float] = {}
    for metric in track.metrics():
        baseline = metric.baseline.measure if metric.baseline is not None else None
        roles: tuple[tuple[Role, Measure | None], ...] = (("current", metric.measure), ("baseline", baseline))
        for role, measure in roles:
            known = latest(ledger.of(metric.name, role))
            if known is not None and measure is not None:
                source = source_of(measure)
                longest[source] = max(known.seconds, longest.get(source, 0.0))
    return longest


def source_of(measure: Measure) -> Hashable:
    """Return what a measure asks: a command, a tree's audit or a fleet's start, whatever it reads from it."""
    builtin = find_builtin(measure.builtin) if measure.builtin else None
    if builtin is None:
        return msgspec.structs.replace(measure, read=None, inputs=())
    return ("audit", measure.tree) if builtin.of == "tree" else ("fleet", measure.fleet, builtin.is_live)


def find_stale(track: Track, ledger: Ledger, measurer: Measurer, *, everything: bool = False) -> list[Job]:
    """Return what has to be measured: never measured, in trouble, or on what is now another.

    everything: also what is fresh.
    """
    jobs: list[Job] = []
    for metric in track.metrics():
        if metric.measure is not None:
            last = latest(ledger.of(metric.name, "current"))
            if everything or _is_live(metric.measure) or not is_fresh(last, metric.measure, measurer):
                jobs.append(Job(metric, "current", metric.measure))
        baseline = metric.baseline
        if baseline is None or baseline.measure is None:
            continue
        at = commit_of(track.folder, baseline.at) if baseline.at else ""
        known = latest(ledger.of(metric.name, "baseline"))
        if at:
            is_known = known is not None and known.commit == at and known.method == baseline.measure.method()
            if not is_known or (known is not None and known.value is None):
                jobs.append(Job(metric, "baseline", baseline.measure, at))
        elif everything or not is_fresh(known, baseline.measure, measurer):
            jobs.append(Job(metric, "baseline", baseline.measure))
    return jobs


def _is_live(measure: Measure) -> bool:
    builtin = find_builtin(measure.builtin)
    return builtin is not None and builtin.is_live


def latest(records: Sequence[Record]) -> Record | None:
    """Return the newest of some records, None of none."""
    return records[-1] if records else None


def is_fresh(record: Record | None, measure: Measure, measurer: Measurer) -> bool:
    """Return whether a record has a value, got in this way, and nothing that it hangs on has changed."""
    return (
        record is not None
        and record.value is not None
        and record.method == measure.method()
        and measurer.inputs(measure).is_as(record.inputs)
    )


def measure_all(
    track: Track, jobs: Iterable[Job], measurer: Measurer, variables: Mapping[str, str], progress: Progress
) -> Iterable[Record]:
    """Measure jobs, those of a commit in a work tree of it; each record comes as soon as it is there."""
    by_commit: dict[str, list[Job]] = {}
    for job in jobs:
        by_commit.setdefault(job.at, []).append(job)
    for at, group in by_commit.items():
        if not at:
            yield from _measured(group, measurer, progress)
            continue
        with worktree(track.folder, at) as folder:
            yield from _measured(group, Measurer(track, folder, variables), progress)


def _measured(jobs: Sequence[Job], measurer: Measurer, progress: Progress) -> Iterable[Record]:
    for job in jobs:
        progress(job.name())
        yield measurer.measure(job)
