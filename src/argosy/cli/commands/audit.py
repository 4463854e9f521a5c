"""Find problems in a tree of Python files; never imports or runs what it reads.

Reads every `*.py` below PATH except in `.git`, `.argosy` and links. Results are cached, so that a
second run reads only changed files. Exit code 1: there are findings that count.

example: argosy audit src --select S,Z301 --since origin/main

"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from argosy.cli.arguments import FLEET_FILE, add_json, add_options, add_path, fleet_of_tree, split_codes
from argosy.cli.console import print_json, print_note
from argosy.cli.progress import ProgressLine
from argosy.cli.render.audit_view import AuditView, audit_json, render_audit_text
from argosy.fault import Fault, InputError
from argosy.refit.audit.tree_audit import AuditReport, audit
from argosy.refit.core.audit_cache import default_cache_dir
from argosy.refit.core.baseline import (
    BaselineEntry,
    build_entries,
    compare_to_baseline,
    load_baseline,
    remove_resolved,
    write_baseline,
)
from argosy.refit.core.finding import Finding

if TYPE_CHECKING:
    from argosy.refit.codemods.tree_pipeline import RefitReport

_FORMATS = ("table", "json", "sarif", "html")
_ROOT_MARKERS = (FLEET_FILE, ".git", "pyproject.toml")
_PROGRESS_DELAY_S = 0.3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy audit`."""
    add_path(parser, "a folder, or a file to show only its findings (default: this folder)")
    options = {
        "--select CODES": "only these codes, such as `S101,Z`; a letter selects a family",
        "--since REV": "only files that changed since the branch left REV (of git)",
        "--exclude GLOB...": "skip a file or folder, by name or relative path; repeatable",
    }
    add_options(parser, options)
    parser.add_argument(
        "--format", choices=_FORMATS, default="table", help=f"output format: {', '.join(_FORMATS)}"
    )
    options = {
        "--baseline FILE": "findings in this file are known and do not count",
        "--write-baseline": "create the baseline from the findings; "
        "from an existing one only remove fixed findings",
        "--fleet FILE": f"the fleet file to compare with (default: PATH/{FLEET_FILE})",
        "--no-cache": "neither read nor write the cache",
    }
    add_options(parser, options)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Audit one tree, print the findings, and return the exit code.

    Raises InputError: there is no such path, code, revision or baseline, or the fleet file is invalid.
    """
    output_format = "json" if args.as_json else args.format
    root, only = _audit_root(Path(args.path))
    if args.write_baseline and args.baseline is None:
        raise InputError(Fault("--write-baseline", "usage", "it needs a file", "add `--baseline FILE`"))
    fleet = fleet_of_tree(root, args.fleet)
    with ProgressLine(delay_s=_PROGRESS_DELAY_S) as progress:
        report = audit(
            root,
            exclude=args.exclude,
            fleet=fleet,
            cache_dir=None if args.no_cache else default_cache_dir(),
            on_progress=partial(progress.show, "reading files"),
        )
    select = _parse_codes(args.select, report.rule_titles)
    selected = _selected_findings(report, select, only, args.since)
    baseline_entries = _load_or_write_baseline(args, report, selected)
    view = _make_view(report, selected, baseline_entries, select)
    if output_format == "html":
        view = msgspec.structs.replace(view, planned_refit=_planned_refit(root, fleet, args.exclude))
    _warn(view)
    rendered = _RENDERERS[output_format](view)
    if isinstance(rendered, str):
        sys.stdout.write(rendered)
    else:
        print_json(rendered)
    # Otherwise the exit of the interpreter would scan all objects for garbage, three times.
    gc.freeze()
    return 1 if view.findings or report.result.failures else 0


def _audit_root(path: Path) -> tuple[Path, str]:
    """Return the root to audit, and the one selected file in it, or an empty text."""
    if path.is_dir():
        return path, ""
    if not path.is_file():
        raise InputError(Fault(str(path), "no-path", f"there is no file or folder `{path}`"))
    path = path.resolve()
    roots = (folder for folder in path.parents if any((folder / name).exists() for name in _ROOT_MARKERS))
    root = next(roots, path.parent)
    return root, path.relative_to(root).as_posix()


def _parse_codes(select: str | None, known: Collection[str]) -> tuple[str, ...]:
    codes = split_codes(select)
    for code in codes:
        if not any(each.startswith(code) for each in known):
            hint = f"known codes: {', '.join(known)}, and their first letters"
            raise InputError(Fault("--select", "unknown-code", f"there is no rule `{code}`", hint))
    return codes


def _selected_findings(
    report: AuditReport, select: tuple[str, ...], only: str, since: str | None
) -> list[Finding]:
    changed: frozenset[str] | None = None
    if since is not None:
        from argosy.refit.core.git_revision import find_changed_files  # noqa: PLC0415 - runs git

        changed = find_changed_files(report.root, since)
    return [
        item
        for item in report.findings
        if (not select or item.code.startswith(select))
        and (not only or item.path == only)
        and (changed is None or item.path in changed)
    ]


def _load_or_write_baseline(
    args: argparse.Namespace, report: AuditReport, selected: Sequence[Finding]
) -> tuple[BaselineEntry, ...]:
    """Return the entries of the baseline; write it first with `--write-baseline`."""
    if args.baseline is None:
        return ()
    path = Path(args.baseline)
    if args.write_baseline and not path.exists():
        entries = build_entries(selected)
    else:
        entries = load_baseline(path)
        if args.write_baseline:
            entries = remove_resolved(entries, _fixed_entries(report, entries))
    if args.write_baseline:
        write_baseline(path, entries)
    return entries


def _fixed_entries(report: AuditReport, entries: Sequence[BaselineEntry]) -> list[BaselineEntry]:
    """Return the entries without a finding, except those of files that were not read."""
    return [
        entry
        for entry in compare_to_baseline(report.findings, entries).resolved
        if entry.path in report.sizes or not os.path.lexists(os.path.join(report.root, entry.path))
    ]


def _make_view(
    report: AuditReport,
    selected: Sequence[Finding],
    entries: tuple[BaselineEntry, ...],
    select: tuple[str, ...],
) -> AuditView:
    # All findings are compared with the baseline, so that the result does not depend on the selection.
    new = set(compare_to_baseline(report.findings, entries).new) if entries else ()
    shown = [item for item in selected if item in new] if entries else selected
    return AuditView(
        name=os.path.basename(report.root) or report.root,
        report=report,
        findings=shown,
        known_count=len(selected) - len(shown),
        unselected_count=len(report.findings) - len(selected),
        fixed=_fixed_entries(report, entries) if entries else (),
        skipped_rules={
            code: reason
            for code, reason in report.skipped_rules.items()
            if not select or code.startswith(select)
        },
        titles=report.rule_titles,
    )


def _planned_refit(root: Path, fleet: Path | None, exclude: Sequence[str]) -> RefitReport:
    """Return what a refit of the tree would do; the audit reports the faults of the fleet file."""
    from argosy.fleet.loader import read_fleet  # noqa: PLC0415 - only for the page
    from argosy.refit.codemods import file_pipeline  # noqa: PLC0415
    from argosy.refit.codemods.tree_pipeline import plan_codemods  # noqa: PLC0415

    found = read_fleet(fleet)[0] if fleet is not None else None
    return plan_codemods(
        os.path.realpath(root), file_pipeline.select_codemods(()), fleet=found, exclude=exclude
    )


def _warn(view: AuditView) -> None:
    """Print on stderr what the audit could not do, and which baseline entries are fixed."""
    report = view.report
    for path, why in report.unreadable.items():
        print_note("warning", f"`{path}` was not read: {why}")
    for failure in report.result.failures:
        where = f" on `{failure.path}`" if failure.path else ""
        hint = "the findings are incomplete; this is a bug in argosy"
        print_note("error", f"rule {failure.code} failed{where}: {failure.message}", hint)
    codes: dict[str, list[str]] = {}
    for code, reason in view.skipped_rules.items():
        codes.setdefault(reason, []).append(code)
    for reason, codes_of_reason in codes.items():
        print_note("note", f"{', '.join(codes_of_reason)} skipped: {reason}")
    if report.virtual_environments:
        names = ", ".join(f"`{path}`" for path in report.virtual_environments)
        hint = " ".join(f"--exclude {path}" for path in report.virtual_environments)
        print_note("warning", f"{names} is a virtual environment and was audited too", f"`{hint}`")
    if view.fixed:
        count = sum(entry.count for entry in view.fixed)
        message = f"{count} of the baseline {'is' if count == 1 else 'are'} fixed"
        print_note("note", message, "`--write-baseline` removes them")


def _render_sarif(view: AuditView) -> dict[str, object]:
    from argosy.cli.render.audit_sarif import render_sarif  # noqa: PLC0415

    return render_sarif(view)


def _render_page(view: AuditView) -> str:
    from argosy.cli.render.audit_page import render_audit_page  # noqa: PLC0415

    return render_audit_page(view)


_RENDERERS: dict[str, Callable[[AuditView], str | dict[str, object]]] = {
    "table": render_audit_text,
    "json": audit_json,
    "sarif": _render_sarif,
    "html": _render_page,
}
