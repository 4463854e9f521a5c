"""Track metrics that can be measured again: objectives, baselines, targets, and a ratchet.

  init                create a track.yaml
  import FILE         convert a tracker written in Markdown; its values are marked unproven
  run                 measure stale metrics, append to the ledger, write the report
  check               for CI: exit code 1 if a metric got worse or cannot be measured any more
  report              print the report as Markdown, as in TRACK.md; measures nothing
  accept METRIC       accept a value that got worse as the new reference
  measures            list the built-in measures

The status words are computed: achieved, on track, at risk, regressed, stale, unknown, unproven.

example: argosy track run --only 'start.*'
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.atomic_file import write_atomic
from argosy.cli.arguments import add_json, add_options
from argosy.cli.console import EXIT_INTERRUPTED, align_columns, print_json, print_note, print_result
from argosy.fault import Fault, InputError
from argosy.fleet.suggestions import suggest, unknown_name

if TYPE_CHECKING:
    from argosy.refit.core.finding import Finding
    from argosy.track.measurement_ledger import MeasurementLedger, MeasurementRecord
    from argosy.track.measurer import MeasurementJob, Measurer
    from argosy.track.metric_status import ObjectiveStatus
    from argosy.track.ratchet import Regression
    from argosy.track.track_spec import Metric, Track


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy track`."""
    parser.add_argument("action", choices=tuple(_ACTIONS), metavar="|".join(_ACTIONS), help="what to do")
    parser.add_argument(
        "argument", nargs="?", metavar="FILE|METRIC", help="with import: a file; with accept: a metric"
    )
    options = {
        "--file PATH": "the tracker (default: track.yaml in this folder or a parent)",
        "--only GLOB...": "metrics by name, `objective.metric`; repeatable",
        "--all": "with run: also measure fresh metrics",
        "--at COMMIT": "with run: measure the tree of a commit",
    }
    add_options(parser, options)
    parser.add_argument(
        "--within",
        metavar="S",
        type=float,
        help="with check: only metrics whose last measurement took at most S seconds",
    )
    options = {
        "--tighten": "with check: remove fixed findings from the lists of known ones",
        "--why TEXT": "with accept: the reason, for the report",
        "-o, --output FILE": "with import: where to write (default: stdout)",
        "--html FILE": "with report: also one HTML page",
        "--badge FILE": "with report: also a badge, as SVG",
        "--line": "with report: one line for a README instead",
        "--comment FILE": "with check: also a comment for a pull request",
    }
    add_options(parser, options)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the action, and return the exit code. Raises InputError: the tracker or an argument is invalid."""
    takes_argument = args.action in ("import", "accept")
    if takes_argument != (args.argument is not None):
        wanted = {"import": "a Markdown file", "accept": "a metric"}.get(args.action, "no argument")
        found = f"`{args.argument}`" if args.argument else "nothing"
        message = f"`{args.action}` takes {wanted}, found {found}"
        raise InputError(Fault("track", "usage", message, "`argosy track --help` shows the actions"))
    return _ACTIONS[args.action](args)


def _init(args: argparse.Namespace) -> int:
    from argosy.track.track_loader import TRACK_FILE  # noqa: PLC0415
    from argosy.track.track_template import render_template  # noqa: PLC0415

    path = Path(args.file or TRACK_FILE)
    path = path / TRACK_FILE if path.is_dir() else path
    title = path.absolute().parent.name or "tracker"
    text = render_template(title, has_fleet=(path.parent / "fleet.yaml").exists())
    _write_new(str(path), text, "edit it, or delete it")
    print_result(
        lambda: {"argosy": "track-init/1", "path": str(path)},
        lambda: f"wrote {path}; `argosy track run` measures it",
        as_json=args.as_json,
    )
    return 0


def _import(args: argparse.Namespace) -> int:
    from argosy.cli.render.track_view import contradictions_text, imported_json  # noqa: PLC0415
    from argosy.track.markdown_import import parse_markdown_tracker  # noqa: PLC0415
    from argosy.track.track_template import render_imported  # noqa: PLC0415

    try:
        text = Path(args.argument).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(Fault(args.argument, "unreadable", f"it cannot be read: {why}")) from None
    tracker = parse_markdown_tracker(text)
    if not tracker.metrics:
        hint = "tables with a header, arrows such as `41 -> 1`, and list items with a number are read"
        raise InputError(Fault(args.argument, "no-figures", "it has no values to import", hint))
    written = render_imported(tracker, args.argument)
    if args.output is not None:
        _write_new(args.output, written, "give another file")
    if args.as_json:
        print_json(imported_json(tracker, args.argument, args.output))
        return 0
    if args.output is None:
        sys.stdout.write(written)
    sys.stderr.write(contradictions_text(tracker, args.argument, args.output))
    return 0


def _write_new(path: str, text: str, hint: str) -> None:
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(Fault(path, "exists", f"`{path}` already exists", hint)) from None
    except OSError as error:
        raise InputError(Fault(path, "unwritable", f"it cannot be written: {error.strerror}")) from None


class _TrackSession:
    """A tracker with its ledger and its measurer."""

    def __init__(self, args: argparse.Namespace) -> None:
        from argosy.track.measurement_ledger import read_ledger  # noqa: PLC0415
        from argosy.track.measurer import Measurer  # noqa: PLC0415
        from argosy.track.track_loader import find_tracker_file, load_track  # noqa: PLC0415

        self.track: Track = load_track(find_tracker_file(args.file))
        self.ledger: MeasurementLedger = read_ledger(self.track.ledger)
        self.measurer: Measurer = Measurer(self.track, self.track.directory, os.environ)
        self._globs: Sequence[str] = args.only
        if self._globs and not self.metrics():
            known = [metric.name for metric in self.track.metrics()]
            message = f"no metric matches {', '.join(self._globs)}"
            hint = suggest(self._globs[0], known, "metrics")
            raise InputError(Fault("--only", "unknown-metric", message, hint))

    def metrics(self) -> list[Metric]:
        """Return the selected metrics."""
        return [metric for metric in self.track.metrics() if self.is_selected(metric.name)]

    def is_selected(self, name: str) -> bool:
        return not self._globs or any(fnmatch.fnmatchcase(name, glob) for glob in self._globs)

    def stale(self, *, everything: bool = False) -> list[MeasurementJob]:
        from argosy.track.measurer import find_stale  # noqa: PLC0415

        jobs = find_stale(self.track, self.ledger, self.measurer, everything=everything)
        return [job for job in jobs if self.is_selected(job.metric.name)]

    def evaluate(self, ledger: MeasurementLedger) -> tuple[ObjectiveStatus, ...]:
        from argosy.track.measurer import is_fresh  # noqa: PLC0415
        from argosy.track.metric_status import evaluate  # noqa: PLC0415

        def fresh(metric: Metric, record: MeasurementRecord) -> bool:
            return metric.measure is not None and is_fresh(record, metric.measure, self.measurer)

        return evaluate(self.track, ledger, fresh)

    def measure_jobs(
        self, jobs: Sequence[MeasurementJob], on_record: Callable[[MeasurementRecord], object]
    ) -> None:
        """Run the jobs one after another, and call `on_record` with each record."""
        from argosy.track.measurer import measure_all  # noqa: PLC0415

        done = 0

        def on_start(name: str) -> None:
            nonlocal done
            done += 1
            sys.stderr.write(f"measuring {name} ({done} of {len(jobs)})\n")

        for record in measure_all(self.track, jobs, self.measurer, os.environ, on_start):
            on_record(record)
            self.ledger = self.ledger.with_records([record])

    def findings(self, metric: Metric) -> Sequence[Finding] | None:
        """Return the findings that an audit metric counts; None for other metrics or without a result."""
        from argosy.track.command_runner import MeasurementError  # noqa: PLC0415

        measure = metric.measure
        if measure is None or not measure.builtin.startswith("audit.") or "files" in measure.builtin:
            return None
        try:
            return self.measurer.findings(measure)
        except MeasurementError:
            return None

    def write_report(self) -> tuple[ObjectiveStatus, ...]:
        """Write the report of the current ledger, and return the status of the objectives."""
        from argosy.track.markdown_report import render_markdown  # noqa: PLC0415
        from argosy.track.report_model import make_report  # noqa: PLC0415

        forecasts = self.evaluate(self.ledger)
        _write_output(self.track.report, render_markdown(make_report(self.track, forecasts, self.ledger)))
        return forecasts

    def warn_damaged(self) -> None:
        for fault in self.ledger.damaged:
            print_note("warning", f"{fault.where}: {fault.message}", fault.hint)


def _run(args: argparse.Namespace) -> int:
    from argosy.cli.render.track_view import render_run, track_json  # noqa: PLC0415
    from argosy.track.measurement_ledger import LedgerRunFile  # noqa: PLC0415
    from argosy.track.ratchet import tighten_known_findings  # noqa: PLC0415

    tracking = _TrackSession(args)
    tracking.warn_damaged()
    jobs = _historical_jobs(tracking, args.at) if args.at else tracking.stale(everything=args.all)
    file = LedgerRunFile(tracking.track.ledger)
    known = len(tracking.ledger.records)
    is_interrupted = False
    try:
        tracking.measure_jobs(jobs, file.append)
    except KeyboardInterrupt:
        is_interrupted = True
        sys.stderr.write("interrupted; finished measurements are kept, and `argosy track run` resumes\n")
    records = tracking.ledger.records[known:]
    if not args.at and not is_interrupted:
        measured = {job.metric.name for job in jobs if job.role == "current"}
        for metric in tracking.metrics():
            findings = tracking.findings(metric) if metric.name in measured else None
            if findings is not None:
                tighten_known_findings(tracking.track, metric, findings)
    forecasts = tracking.evaluate(tracking.ledger) if args.at else tracking.write_report()
    print_result(
        lambda: track_json(forecasts),
        lambda: render_run(forecasts, records, historical=bool(args.at)),
        as_json=args.as_json,
    )
    if is_interrupted:
        return EXIT_INTERRUPTED
    return 1 if any(record.trouble for record in records) else 0


def _historical_jobs(tracking: _TrackSession, revision: str) -> list[MeasurementJob]:
    from argosy.track.measurer import MeasurementJob  # noqa: PLC0415
    from argosy.track.provenance import resolve_commit  # noqa: PLC0415

    commit = resolve_commit(tracking.track.directory, revision)
    return [
        MeasurementJob(metric, "past", metric.measure, commit)
        for metric in tracking.metrics()
        if metric.measure
    ]


def _check(args: argparse.Namespace) -> int:
    from argosy.cli.render.track_view import check_json, render_check  # noqa: PLC0415
    from argosy.track.markdown_report import is_unedited, render_comment  # noqa: PLC0415
    from argosy.track.ratchet import Regression, find_regressions, split_findings, tighten_known_findings  # noqa: PLC0415

    tracking = _TrackSession(args)
    stale = tracking.stale()
    skipped = _over_time_limit(tracking, stale, args.within)
    tracking.measure_jobs([job for job in stale if job not in skipped], lambda record: None)
    forecasts = tracking.evaluate(tracking.ledger)
    regressions: list[Regression] = [
        one for one in find_regressions(forecasts) if tracking.is_selected(one.metric)
    ]
    fixed = 0
    for metric in tracking.metrics():
        findings = tracking.findings(metric)
        if findings is None:
            continue
        new, fixed_entries = split_findings(tracking.track, metric, findings)
        fixed += sum(entry.count for entry in fixed_entries)
        if new:
            count_message = f"{len(new)} {'finding is' if len(new) == 1 else 'findings are'} new"
            regressions = [one for one in regressions if one.metric != metric.name]
            regressions.append(Regression(metric.name, count_message, tuple(new)))
        if args.tighten:
            tighten_known_findings(tracking.track, metric, findings)
    faults = list(tracking.ledger.damaged)
    report = Path(tracking.track.report)
    if report.exists() and not is_unedited(report.read_text("utf-8", "replace")):
        message = "the report was edited: it is not as `argosy track` wrote it"
        hint = "`argosy track run` writes it again"
        faults.append(Fault(os.path.relpath(report), "edited-report", message, hint))
    if args.comment:
        _write_output(args.comment, render_comment(forecasts, regressions, fixed))
    print_result(
        lambda: check_json(forecasts, regressions, fixed, faults, skipped),
        lambda: render_check(forecasts, regressions, fixed, faults, skipped),
        as_json=args.as_json,
    )
    return 1 if regressions or faults else 0


def _over_time_limit(
    tracking: _TrackSession, stale: list[MeasurementJob], within_s: float | None
) -> list[MeasurementJob]:
    """Return the jobs whose source took longer than `within_s`, or was never run; none without a limit."""
    from argosy.track.measurer import longest_durations, source_of  # noqa: PLC0415

    if within_s is None:
        return []
    longest = longest_durations(tracking.track, tracking.ledger)
    return [job for job in stale if longest.get(source_of(job.measure), math.inf) > within_s]


def _report(args: argparse.Namespace) -> int:
    from argosy.cli.render.track_view import track_json  # noqa: PLC0415
    from argosy.track.html_report import render_badge, render_html  # noqa: PLC0415
    from argosy.track.markdown_report import render_line, render_markdown  # noqa: PLC0415
    from argosy.track.report_model import make_report  # noqa: PLC0415

    tracking = _TrackSession(args)
    tracking.warn_damaged()
    forecasts = tracking.evaluate(tracking.ledger)
    report = make_report(tracking.track, forecasts, tracking.ledger)
    if args.html:
        _write_output(args.html, render_html(report))
    if args.badge:
        _write_output(args.badge, render_badge(tracking.track.title, forecasts))
    print_result(
        lambda: track_json(forecasts),
        lambda: render_line(forecasts) if args.line else render_markdown(report),
        as_json=args.as_json,
    )
    return 0


def _accept(args: argparse.Namespace) -> int:
    from argosy.track.measurement_ledger import AcceptedRegression, LedgerRunFile  # noqa: PLC0415
    from argosy.track.ratchet import accept_findings  # noqa: PLC0415

    if not args.why:
        raise InputError(Fault("--why", "usage", "accept needs a reason", "add `--why 'TEXT'`"))
    tracking = _TrackSession(args)
    known = {metric.name: metric for metric in tracking.track.metrics()}
    if args.argument not in known:
        raise InputError(unknown_name(args.argument, "metric", args.argument, known))
    metric = known[args.argument]
    records = [one for one in tracking.ledger.of(metric.name, "current") if one.value is not None]
    if not records:
        hint = "`argosy track run` measures it"
        raise InputError(Fault(args.argument, "unmeasured", "it was never measured", hint))
    accepted = AcceptedRegression(metric=metric.name, why=args.why, at=records[-1].at)
    LedgerRunFile(tracking.track.ledger).append(accepted)
    tracking.ledger = tracking.ledger.with_accepted(accepted)
    tracking.write_report()
    findings = tracking.findings(metric)
    if findings is not None:
        accept_findings(tracking.track, metric, findings)
    value = records[-1].value
    print_result(
        lambda: {"argosy": "track-accept/1", "metric": metric.name, "value": value, "why": args.why},
        lambda: f"{metric.name} now has {value:g} as its reference",
        as_json=args.as_json,
    )
    return 0


def _list_measures(args: argparse.Namespace) -> int:
    from argosy.track.builtin_measures import all_builtins  # noqa: PLC0415

    listed = all_builtins()
    rows = [
        {"name": one.name, "of": one.subject, "unit": one.unit, "portable": one.is_portable} for one in listed
    ]
    shown = [(one.name, f"{one.description} ({one.unit})") for one in listed]
    print_result(
        lambda: {"argosy": "track-measures/1", "measures": rows},
        lambda: "\n".join(align_columns(shown)),
        as_json=args.as_json,
    )
    return 0


def _write_output(path: str, text: str) -> None:
    """Write a file completely or not at all."""
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise InputError(Fault(path, "unwritable", f"it cannot be written: {error.strerror}")) from None


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "init": _init,
    "import": _import,
    "run": _run,
    "check": _check,
    "report": _report,
    "accept": _accept,
    "measures": _list_measures,
}
