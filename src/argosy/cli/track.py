"""A tracker whose every number can be measured again: objectives, baselines, targets, and a ratchet.

  init                begin a track.yaml
  import FILE         read a tracker that people wrote in Markdown: each figure, none of them proven
  run                 measure what is stale, keep it in the ledger, write the report
  check               for a test service: exit code 1 when something got worse, or can no longer be told
  report              the report as Markdown, as TRACK.md holds it; measures nothing
  accept METRIC       put up with a value that got worse, from now on
  measures            the built-in measures

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

from argosy.cli.arguments import add_json
from argosy.cli.report import print_json
from argosy.fault import Fault, InputError
from argosy.fleet.spelling import suggestion

if TYPE_CHECKING:
    from argosy.refit.finding import Finding
    from argosy.track.ledger import Ledger, Record
    from argosy.track.measuring import Job, Measurer
    from argosy.track.ratchet import Worse
    from argosy.track.spec import Metric, Track
    from argosy.track.verdict import Outlook

_INTERRUPTED = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy track`."""
    parser.add_argument("action", choices=tuple(_ACTIONS), metavar="|".join(_ACTIONS), help="what to do")
    parser.add_argument(
        "word", nargs="?", metavar="FILE|METRIC", help="with import a file, with accept a metric"
    )
    parser.add_argument(
        "--file", metavar="PATH", help="the tracker (default: track.yaml in this folder or a parent)"
    )
    parser.add_argument(
        "--only",
        metavar="GLOB",
        action="append",
        default=[],
        help="metrics by name, `objective.metric`; repeatable",
    )
    parser.add_argument("--all", action="store_true", help="with run: measure what is fresh too")
    parser.add_argument("--at", metavar="COMMIT", help="with run: measure the tree as it was at a commit")
    parser.add_argument(
        "--within",
        metavar="S",
        type=float,
        help="with check: only what took at most S seconds when it was measured last",
    )
    parser.add_argument(
        "--tighten", action="store_true", help="with check: take mended findings off the lists"
    )
    parser.add_argument("--why", metavar="TEXT", help="with accept: the reason, for the report")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="with import: where to write (default: stdout)"
    )
    parser.add_argument("--html", metavar="FILE", help="with report: also one HTML page")
    parser.add_argument("--badge", metavar="FILE", help="with report: also a badge, as SVG")
    parser.add_argument("--line", action="store_true", help="with report: one line for a README instead")
    parser.add_argument("--comment", metavar="FILE", help="with check: also a comment for a pull request")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Do it, and return the exit code. Raises InputError: the tracker, a word or an option is wrong."""
    takes_word = args.action in ("import", "accept")
    if takes_word != (args.word is not None):
        wanted = {"import": "a Markdown file", "accept": "a metric"}.get(args.action, "nothing more")
        message = f"`{args.action}` takes {wanted}" + (f", and has `{args.word}`" if args.word else "")
        raise InputError(Fault("track", "usage", message, "`argosy track --help` shows each"))
    return _ACTIONS[args.action](args)


def _init(args: argparse.Namespace) -> int:
    from argosy.track.load import TRACK_FILE  # noqa: PLC0415
    from argosy.track.starter import starter  # noqa: PLC0415

    path = Path(args.file or TRACK_FILE)
    path = path / TRACK_FILE if path.is_dir() else path
    title = path.absolute().parent.name or "tracker"
    text = starter(title, has_fleet=(path.parent / "fleet.yaml").exists())
    _write_new(str(path), text, "edit it, or delete it")
    if args.as_json:
        print_json({"argosy": "track-init/1", "path": str(path)})
    else:
        sys.stdout.write(f"wrote {path}; `argosy track run` measures it\n")
    return 0


def _import(args: argparse.Namespace) -> int:
    from argosy.cli.track_view import contradictions_text, imported_object  # noqa: PLC0415
    from argosy.track.starter import imported  # noqa: PLC0415
    from argosy.track.tracker import read_tracker  # noqa: PLC0415

    try:
        text = Path(args.word).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(Fault(args.word, "unreadable", f"it cannot be read: {why}")) from None
    tracker = read_tracker(text)
    if not tracker.figures:
        hint = "tables with a head, arrows such as `41 -> 1`, and list items with a number are read"
        raise InputError(Fault(args.word, "no-figures", "there is no figure in it", hint))
    written = imported(tracker, args.word)
    if args.output is not None:
        _write_new(args.output, written, "name another file")
    if args.as_json:
        print_json(imported_object(tracker, args.word, args.output))
        return 0
    if args.output is None:
        sys.stdout.write(written)
    sys.stderr.write(contradictions_text(tracker, args.word, args.output))
    return 0


def _write_new(path: str, text: str, hint: str) -> None:
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(Fault(path, "exists", f"`{path}` is there already", hint)) from None
    except OSError as error:
        raise InputError(Fault(path, "unwritable", f"it cannot be written: {error.strerror}")) from None


class _Tracking:
    """A tracker with its ledger and what measures it."""

    def __init__(self, args: argparse.Namespace) -> None:
        from argosy.track.ledger import read_ledger  # noqa: PLC0415
        from argosy.track.load import find_track, load_track  # noqa: PLC0415
        from argosy.track.measuring import Measurer  # noqa: PLC0415

        self.track: Track = load_track(find_track(args.file))
        self.ledger: Ledger = read_ledger(self.track.ledger)
        self.measurer: Measurer = Measurer(self.track, self.track.folder, os.environ)
        self._globs: Sequence[str] = args.only
        if self._globs and not self.metrics():
            known = [metric.name for metric in self.track.metrics()]
            message = f"no metric is named so: {', '.join(self._globs)}"
            raise InputError(
                Fault("--only", "unknown-metric", message, suggestion(self._globs[0], known, "metrics"))
            )

    def metrics(self) -> list[Metric]:
        """Return the metrics that are asked for."""
        return [metric for metric in self.track.metrics() if self.is_asked(metric.name)]

    def is_asked(self, name: str) -> bool:
        return not self._globs or any(fnmatch.fnmatchcase(name, glob) for glob in self._globs)

    def stale(self, *, everything: bool = False) -> list[Job]:
        from argosy.track.measuring import find_stale  # noqa: PLC0415

        jobs = find_stale(self.track, self.ledger, self.measurer, everything=everything)
        return [job for job in jobs if self.is_asked(job.metric.name)]

    def outlooks(self, ledger: Ledger) -> tuple[Outlook, ...]:
        from argosy.track.measuring import is_fresh  # noqa: PLC0415
        from argosy.track.verdict import judge  # noqa: PLC0415

        def fresh(metric: Metric, record: Record) -> bool:
            return metric.measure is not None and is_fresh(record, metric.measure, self.measurer)

        return judge(self.track, ledger, fresh)

    def measured(self, jobs: Sequence[Job], keep: Callable[[Record], object]) -> None:
        """Measure jobs, one after the other; each record is kept as soon as it is there."""
        from argosy.track.measuring import measure_all  # noqa: PLC0415

        done = 0

        def tell(name: str) -> None:
            nonlocal done
            done += 1
            sys.stderr.write(f"measuring {name} ({done} of {len(jobs)})\n")

        for record in measure_all(self.track, jobs, self.measurer, os.environ, tell):
            keep(record)
            self.ledger = self.ledger.with_records([record])

    def findings(self, metric: Metric) -> Sequence[Finding] | None:
        """Return what a metric of an audit counts, None for another one, or when it cannot be told."""
        from argosy.track.command import TroubleError  # noqa: PLC0415

        measure = metric.measure
        if measure is None or not measure.builtin.startswith("audit.") or "files" in measure.builtin:
            return None
        try:
            return self.measurer.findings(measure)
        except TroubleError:
            return None

    def write_report(self) -> tuple[Outlook, ...]:
        """Write the report of what the ledger holds now, and return how all stands."""
        from argosy.track.contents import make_report  # noqa: PLC0415
        from argosy.track.markdown import render_markdown  # noqa: PLC0415

        outlooks = self.outlooks(self.ledger)
        _replace(self.track.report, render_markdown(make_report(self.track, outlooks, self.ledger)))
        return outlooks

    def warn(self) -> None:
        for fault in self.ledger.damaged:
            sys.stderr.write(f"warning: {fault.where}: {fault.message}\nhint: {fault.hint}\n")


def _run(args: argparse.Namespace) -> int:
    from argosy.cli.track_view import as_object, render_account  # noqa: PLC0415
    from argosy.track.ledger import RunFile  # noqa: PLC0415
    from argosy.track.ratchet import tighten  # noqa: PLC0415

    tracking = _Tracking(args)
    tracking.warn()
    jobs = _past(tracking, args.at) if args.at else tracking.stale(everything=args.all)
    file = RunFile(tracking.track.ledger)
    known = len(tracking.ledger.records)
    is_cut = False
    try:
        tracking.measured(jobs, file.add)
    except KeyboardInterrupt:
        is_cut = True
        sys.stderr.write("interrupted; what was measured is kept, and `argosy track run` goes on\n")
    records = tracking.ledger.records[known:]
    if not args.at and not is_cut:
        measured = {job.metric.name for job in jobs if job.role == "current"}
        for metric in tracking.metrics():
            findings = tracking.findings(metric) if metric.name in measured else None
            if findings is not None:
                tighten(tracking.track, metric, findings)
    outlooks = tracking.outlooks(tracking.ledger) if args.at else tracking.write_report()
    if args.as_json:
        print_json(as_object(outlooks))
    else:
        sys.stdout.write(render_account(outlooks, records, past=bool(args.at)))
    if is_cut:
        return _INTERRUPTED
    return 1 if any(record.trouble for record in records) else 0


def _past(tracking: _Tracking, at: str) -> list[Job]:
    from argosy.track.measuring import Job  # noqa: PLC0415
    from argosy.track.provenance import commit_of  # noqa: PLC0415

    commit = commit_of(tracking.track.folder, at)
    return [Job(metric, "past", metric.measure, commit) for metric in tracking.metrics() if metric.measure]


def _check(args: argparse.Namespace) -> int:
    from argosy.cli.track_view import check_object, render_check  # noqa: PLC0415
    from argosy.track.markdown import is_sealed, render_comment  # noqa: PLC0415
    from argosy.track.ratchet import Worse, find_worse, sift_findings, tighten  # noqa: PLC0415

    tracking = _Tracking(args)
    stale = tracking.stale()
    left = _too_long(tracking, stale, args.within)
    tracking.measured([job for job in stale if job not in left], lambda record: None)
    outlooks = tracking.outlooks(tracking.ledger)
    worse: list[Worse] = [one for one in find_worse(outlooks) if tracking.is_asked(one.metric)]
    mended = 0
    for metric in tracking.metrics():
        findings = tracking.findings(metric)
        if findings is None:
            continue
        new, gone = sift_findings(tracking.track, metric, findings)
        mended += sum(entry.count for entry in gone)
        if new:
            told = f"{len(new)} {'finding is' if len(new) == 1 else 'findings are'} new"
            worse = [one for one in worse if one.metric != metric.name]
            worse.append(Worse(metric.name, told, tuple(new)))
        if args.tighten:
            tighten(tracking.track, metric, findings)
    faults = list(tracking.ledger.damaged)
    report = Path(tracking.track.report)
    if report.exists() and not is_sealed(report.read_text("utf-8", "replace")):
        message = "the report is not as `argosy track` wrote it: somebody has edited it"
        faults.append(
            Fault(os.path.relpath(report), "edited-report", message, "`argosy track run` writes it anew")
        )
    if args.comment:
        _replace(args.comment, render_comment(outlooks, worse, mended))
    if args.as_json:
        print_json(check_object(outlooks, worse, mended, faults, left))
    else:
        sys.stdout.write(render_check(outlooks, worse, mended, faults, left))
    return 1 if worse or faults else 0


def _too_long(tracking: _Tracking, stale: list[Job], within_s: float | None) -> list[Job]:
    """Return the jobs whose source took longer than that, or was never asked; none without a bound."""
    from argosy.track.measuring import longest_of_sources, source_of  # noqa: PLC0415

    if within_s is None:
        return []
    longest = longest_of_sources(tracking.track, tracking.ledger)
    return [job for job in stale if longest.get(source_of(job.measure), math.inf) > within_s]


def _report(args: argparse.Namespace) -> int:
    from argosy.cli.track_view import as_object  # noqa: PLC0415
    from argosy.track.badge import render_badge  # noqa: PLC0415
    from argosy.track.contents import make_report  # noqa: PLC0415
    from argosy.track.markdown import render_line, render_markdown  # noqa: PLC0415
    from argosy.track.page import render_page  # noqa: PLC0415

    tracking = _Tracking(args)
    tracking.warn()
    outlooks = tracking.outlooks(tracking.ledger)
    report = make_report(tracking.track, outlooks, tracking.ledger)
    if args.html:
        _replace(args.html, render_page(report))
    if args.badge:
        _replace(args.badge, render_badge(tracking.track.title, outlooks))
    if args.as_json:
        print_json(as_object(outlooks))
    else:
        sys.stdout.write(render_line(outlooks) if args.line else render_markdown(report))
    return 0


def _accept(args: argparse.Namespace) -> int:
    from argosy.track.ledger import Accepted, RunFile  # noqa: PLC0415
    from argosy.track.ratchet import accept_findings  # noqa: PLC0415

    if not args.why:
        raise InputError(Fault("--why", "usage", "a value is accepted for a reason", "add `--why 'TEXT'`"))
    tracking = _Tracking(args)
    known = {metric.name: metric for metric in tracking.track.metrics()}
    if args.word not in known:
        hint = suggestion(args.word, known, "metrics")
        raise InputError(Fault(args.word, "unknown-metric", f"there is no metric `{args.word}`", hint))
    metric = known[args.word]
    records = [one for one in tracking.ledger.of(metric.name, "current") if one.value is not None]
    if not records:
        raise InputError(Fault(args.word, "unmeasured", "it was never measured", "`argosy track run` first"))
    accepted = Accepted(metric=metric.name, why=args.why, at=records[-1].at)
    RunFile(tracking.track.ledger).add(accepted)
    tracking.ledger = tracking.ledger.with_accepted(accepted)
    tracking.write_report()
    findings = tracking.findings(metric)
    if findings is not None:
        accept_findings(tracking.track, metric, findings)
    if args.as_json:
        print_json(
            {"argosy": "track-accept/1", "metric": metric.name, "value": records[-1].value, "why": args.why}
        )
    else:
        sys.stdout.write(f"{metric.name} is held against {records[-1].value:g} from now on\n")
    return 0


def _measures(args: argparse.Namespace) -> int:
    from argosy.track.builtin import all_builtins  # noqa: PLC0415

    listed = all_builtins()
    if args.as_json:
        rows = [
            {"name": one.name, "of": one.of, "unit": one.unit, "portable": one.is_portable} for one in listed
        ]
        print_json({"argosy": "track-measures/1", "measures": rows})
        return 0
    width = max(len(one.name) for one in listed)
    sys.stdout.write("".join(f"{one.name:<{width}}  {one.doc} ({one.unit})\n" for one in listed))
    return 0


def _replace(path: str, text: str) -> None:
    """Write a file whole, or not at all."""
    beside = f"{path}.{os.getpid()}"
    try:
        Path(beside).write_text(text, "utf-8")
        os.replace(beside, path)
    except OSError as error:
        Path(beside).unlink(missing_ok=True)
        raise InputError(Fault(path, "unwritable", f"it cannot be written: {error.strerror}")) from None


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "init": _init,
    "import": _import,
    "run": _run,
    "check": _check,
    "report": _report,
    "accept": _accept,
    "measures": _measures,
}
