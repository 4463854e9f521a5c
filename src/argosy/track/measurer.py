"""Measures stale metrics: runs each command, audit and fleet once, repeated ones several times."""

from __future__ import annotations

import datetime
import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.engine.state.state_dir import locate_state_dir
from argosy.extra import install_command
from argosy.fault import ArgosyError
from argosy.image.build.build_record import read_build_record
from argosy.refit.audit.tree_audit import audit
from argosy.refit.claims.file_scopes import UnknownScopeError
from argosy.refit.core.audit_cache import default_cache_dir
from argosy.refit.core.finding import Finding
from argosy.track.builtin_measures import audit_code, find_builtin
from argosy.track.command_runner import MeasurementError, MeasureOutput, parse_number_output, run_command
from argosy.track.inputs import InputDigester, InputDigests, expand_variables
from argosy.track.measurement_ledger import MeasurementLedger, MeasurementRecord, Role
from argosy.track.provenance import TreeRevision, identify_machine, read_revision, resolve_commit, worktree
from argosy.track.track_spec import Measure, Metric, Track
from argosy.track.trend import spread_of
from argosy.track.trial_start import measure_fleet

OnProgress = Callable[[str], None]


class MeasurementJob(msgspec.Struct, frozen=True):
    """One value to measure. commit: where to measure it; empty for the current tree."""

    metric: Metric
    role: Role
    measure: Measure
    commit: str = ""

    def display_name(self) -> str:
        """Return the name shown to users."""
        name = self.metric.name if self.role != "baseline" else f"{self.metric.name} (baseline)"
        return f"{name} at {self.commit[:12]}" if self.commit else name


class Measurer:
    """Measures jobs of one tracker in one directory; jobs with the same source share its output."""

    def __init__(self, track: Track, directory: str, variables: Mapping[str, str]) -> None:
        self._directory = directory
        self._variables = dict(variables)
        excluded = (track.ledger, track.report)
        relocated = tuple(
            os.path.join(directory, os.path.relpath(path, track.directory)) for path in excluded
        )
        self.digester = InputDigester(directory, relocated, variables)
        self._revision: TreeRevision | None = None
        self._excluded = relocated
        self._outputs: dict[tuple[Hashable, int], MeasureOutput | MeasurementError] = {}
        self._fleets: dict[tuple[str, int], dict[str, float] | MeasurementError] = {}
        self._audits: dict[str, tuple[Sequence[Finding], int] | MeasurementError] = {}

    def measure(self, job: MeasurementJob) -> MeasurementRecord:
        """Return the record of a job; after an error, without a value."""
        started = time.monotonic()
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        trouble, values = "", []
        try:
            values = [self.value(job.measure, repeat) for repeat in range(job.metric.repeat)]
        except (MeasurementError, ArgosyError) as error:
            trouble = str(error) or type(error).__name__
        revision = self._tree_revision()
        return MeasurementRecord(
            metric=job.metric.name,
            role=job.role,
            value=statistics.median(values) if values else None,
            values=tuple(values) if len(values) > 1 else (),
            spread=spread_of(values) if values else 0.0,
            unit=job.metric.unit,
            method=job.measure.description(),
            at=at,
            seconds=round(time.monotonic() - started, 2),
            commit=revision.commit,
            is_dirty=revision.is_dirty,
            machine_id=identify_machine().id,
            machine=identify_machine().text,
            inputs=self.inputs(job.measure),
            trouble=trouble,
        ).with_digest()

    def inputs(self, measure: Measure) -> InputDigests:
        """Return the digests of a measure's current inputs."""
        try:
            return self.digester.digest(measure)
        except UnknownScopeError as error:
            return InputDigests(f"`{error.name}` is not a glob")

    def value(self, measure: Measure, repeat: int) -> float:
        """Return the value of a measure. repeat: 0 for the first of several repeats.

        Raises MeasurementError: it cannot be measured. Raises ArgosyError: the audited tree has faults.
        """
        builtin = find_builtin(measure.builtin) if measure.builtin else None
        if builtin is None:
            assert measure.parser is not None
            return parse_number_output(self._command_output(measure, repeat), measure.parser)
        if builtin.subject == "tree":
            return self._audit_value(measure)
        if builtin.is_live:
            return self._recorded_value(builtin.name, self._path(measure.fleet))
        key = (self._path(measure.fleet), repeat)
        if key not in self._fleets:
            try:
                self._fleets[key] = measure_fleet(key[0], self._variables, measure.timeout_s)
            except MeasurementError as error:
                self._fleets[key] = error
        found = self._fleets[key]
        if isinstance(found, MeasurementError):
            raise found
        return found[builtin.name]

    def findings(self, measure: Measure) -> Sequence[Finding]:
        """Return the findings that an `audit.*` measure counts. Raises MeasurementError: no directory."""
        findings, _ = self._run_audit(self._path(measure.tree))
        if measure.builtin == "audit.all.count":
            return findings
        code = audit_code(measure.builtin) or ("S101" if "unparseable" in measure.builtin else "")
        return [item for item in findings if code and item.code.startswith(code)]

    def _recorded_value(self, name: str, fleet: str) -> float:
        """Return a value read from the records of the hub or of image builds."""
        if name == "hub.lost":
            return count_lost_records(fleet)
        record = read_build_record(Path(fleet).parent)
        if not record.images:
            raise MeasurementError(f"no image of `{fleet}` was built: `argosy image build`")
        if name == "image.size":
            return float(record.shared_bytes)
        if name == "image.largest":
            return float(max(entry.unpacked_bytes for entry in record.images.values()))
        return float(
            sum(
                entry.smoke_test is None or not entry.smoke_test.is_passed for entry in record.images.values()
            )
        )

    def _audit_value(self, measure: Measure) -> float:
        if measure.builtin == "audit.files.count":
            return float(self._run_audit(self._path(measure.tree))[1])
        if measure.builtin == "audit.unparseable.count":
            return float(len({item.path for item in self.findings(measure)}))
        return float(len(self.findings(measure)))

    def _run_audit(self, tree: str) -> tuple[Sequence[Finding], int]:
        if tree not in self._audits:
            if not os.path.isdir(tree):
                self._audits[tree] = MeasurementError(f"there is no directory `{tree}`")
            else:
                report = audit(tree, cache_dir=default_cache_dir())
                files = sum(path.endswith(".py") for path in report.sizes)
                self._audits[tree] = (report.findings, files)
        found = self._audits[tree]
        if isinstance(found, MeasurementError):
            raise found
        return found

    def _command_output(self, measure: Measure, repeat: int) -> MeasureOutput:
        key = (source_of(measure), repeat)
        if key not in self._outputs:
            try:
                self._outputs[key] = run_command(measure, self._directory, self._variables)
            except MeasurementError as error:
                self._outputs[key] = error
        found = self._outputs[key]
        if isinstance(found, MeasurementError):
            raise found
        return found

    def _path(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._directory, expand_variables(path, self._variables)))

    def _tree_revision(self) -> TreeRevision:
        if self._revision is None:
            self._revision = read_revision(self._directory, self._excluded)
        return self._revision


def longest_durations(track: Track, ledger: MeasurementLedger) -> dict[Hashable, float]:
    """Return the last duration of each source, in seconds.

    Of metrics that share a source, only the first one measured includes its run time, so the longest of their
    durations is the source's.
    """
    longest: dict[Hashable, float] = {}
    for metric in track.metrics():
        baseline = metric.baseline.measure if metric.baseline is not None else None
        roles: tuple[tuple[Role, Measure | None], ...] = (("current", metric.measure), ("baseline", baseline))
        for role, measure in roles:
            known = latest_record(ledger.of(metric.name, role))
            if known is not None and measure is not None:
                source = source_of(measure)
                longest[source] = max(known.seconds, longest.get(source, 0.0))
    return longest


def source_of(measure: Measure) -> Hashable:
    """Return the key of a measure's source: its command, audit or fleet start, whatever is read from it."""
    builtin = find_builtin(measure.builtin) if measure.builtin else None
    if builtin is None:
        return msgspec.structs.replace(measure, parser=None, inputs=())
    return ("audit", measure.tree) if builtin.subject == "tree" else ("fleet", measure.fleet, builtin.is_live)


def find_stale(
    track: Track, ledger: MeasurementLedger, measurer: Measurer, *, everything: bool = False
) -> list[MeasurementJob]:
    """Return the jobs for values that were never measured, failed, or have changed inputs.

    everything: fresh values too.
    """
    jobs: list[MeasurementJob] = []
    for metric in track.metrics():
        if metric.measure is not None:
            last = latest_record(ledger.of(metric.name, "current"))
            if everything or _is_live(metric.measure) or not is_fresh(last, metric.measure, measurer):
                jobs.append(MeasurementJob(metric, "current", metric.measure))
        baseline = metric.baseline
        if baseline is None or baseline.measure is None:
            continue
        at = resolve_commit(track.directory, baseline.commit) if baseline.commit else ""
        known = latest_record(ledger.of(metric.name, "baseline"))
        if at:
            is_known = (
                known is not None and known.commit == at and known.method == baseline.measure.description()
            )
            if not is_known or (known is not None and known.value is None):
                jobs.append(MeasurementJob(metric, "baseline", baseline.measure, at))
        elif everything or not is_fresh(known, baseline.measure, measurer):
            jobs.append(MeasurementJob(metric, "baseline", baseline.measure))
    return jobs


def _is_live(measure: Measure) -> bool:
    builtin = find_builtin(measure.builtin)
    return builtin is not None and builtin.is_live


def latest_record(records: Sequence[MeasurementRecord]) -> MeasurementRecord | None:
    """Return the newest record, None if there is none."""
    return records[-1] if records else None


def is_fresh(record: MeasurementRecord | None, measure: Measure, measurer: Measurer) -> bool:
    """Return whether a record has a value, the same method and unchanged inputs."""
    return (
        record is not None
        and record.value is not None
        and record.method == measure.description()
        and measurer.inputs(measure).matches(record.inputs)
    )


def measure_all(
    track: Track,
    jobs: Iterable[MeasurementJob],
    measurer: Measurer,
    variables: Mapping[str, str],
    progress: OnProgress,
) -> Iterable[MeasurementRecord]:
    """Yield the record of each job; those of a commit are measured in a work tree of it."""
    by_commit: dict[str, list[MeasurementJob]] = {}
    for job in jobs:
        by_commit.setdefault(job.commit, []).append(job)
    for at, group in by_commit.items():
        if not at:
            yield from _measure_jobs(group, measurer, progress)
            continue
        with worktree(track.directory, at) as directory:
            yield from _measure_jobs(group, Measurer(track, directory, variables), progress)


def _measure_jobs(
    jobs: Sequence[MeasurementJob], measurer: Measurer, progress: OnProgress
) -> Iterable[MeasurementRecord]:
    for job in jobs:
        progress(job.display_name())
        yield measurer.measure(job)


def count_lost_records(fleet: str) -> float:
    """Return the number of records that agents or other hubs dropped before this machine's hub stored them.

    Raises MeasurementError: there is no store, or the extra to read it is missing.
    """
    try:
        from argosy.hub.store.store_reader import StoreReader  # noqa: PLC0415 - an extra
    except ImportError:
        raise MeasurementError(f"reading the hub's store needs `{install_command('hub')}`") from None
    store = locate_state_dir(Path(fleet)).hub_store
    if not store.exists():
        raise MeasurementError(f"no hub of `{fleet}` has run on this machine")
    try:
        reader = StoreReader(store)
        try:
            gaps = [each.event.body for each in reader.events(limit=1 << 62) if each.event.kind == "gap"]
        finally:
            reader.close()
    except sqlite3.Error as error:
        raise MeasurementError(f"`{store}` cannot be read: {error}") from None
    return float(
        sum(body["dropped"] if "dropped" in body else body["last"] - body["first"] + 1 for body in gaps)
    )
