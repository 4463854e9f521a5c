"""A refit for people: the diff, what is refused and why, the account."""

from __future__ import annotations

import difflib
import sys
from collections import Counter

from argosy.cli.report import paint
from argosy.fleet.units import counted
from argosy.refit.rewrite.gates import MEANINGS
from argosy.refit.rewrite.refit import Account
from argosy.refit.rewrite.requirement import Requirement
from argosy.source.text import Source, take_source

_MOST_PLACES = 20


def print_refit(account: Account, requirement: Requirement | None, *, is_applied: bool) -> None:
    """Print what a refit did, or the diff of what it would do."""
    if not is_applied:
        for path, after in account.after.items():
            _print_diff(path, account.before[path], after)
        sys.stdout.flush()
    lines = [*_refused(account), *_counts(account), _closing_line(account, is_applied=is_applied)]
    lines += [
        f"{item.path}:{item.line} `{item.name}` is imported and not used any more: {item.reason}"
        for item in account.leftovers
    ]
    lines += _needs(account, requirement)
    lines += [
        f"{path} was changed meanwhile and stands rewritten: {why}" for path, why in account.edited.items()
    ]
    # A diff is data, and can be piped on; what is said about it is not.
    stream = sys.stdout if is_applied else sys.stderr
    stream.write("".join(f"{line}\n" for line in lines))


def _refused(account: Account) -> list[str]:
    """Return the refused sites, each by name; a reason that many share is told once."""
    shared = Counter((item.code, item.reason) for item in account.refused)
    lines = [
        f"{item.path}:{item.line} {item.code} refused: {item.reason}"
        for item in account.refused
        if shared[item.code, item.reason] <= _MOST_PLACES
    ]
    return lines + [
        f"{counted(count, 'time')} {code} refused: {reason} (--json tells where)"
        for (code, reason), count in shared.most_common()
        if count > _MOST_PLACES
    ]


def _counts(account: Account) -> list[str]:
    lines = []
    for code, counts in account.sites().items():
        found = counts["migrated"] + counts["refused"]
        lines.append(
            f"{code}: {counted(found, 'site')}, {counts['migrated']} migrated, {counts['refused']} refused"
        )
    for name, (passed, failed) in account.gates.items():
        if failed and name != "input":
            lines.append(
                f"gate `{name}` stopped {failed} of {counted(passed + failed, 'file')}: {MEANINGS[name]}"
            )
    return lines


def _needs(account: Account, requirement: Requirement | None) -> list[str]:
    lines = []
    if requirement is not None and requirement.beside:
        lines.append(f"add `{requirement.add}` beside pyzmq: {', '.join(requirement.beside)}")
    elif requirement is not None:
        lines.append(f"the changed files need `{requirement.add}`")
    if account.run:
        lines.append(f"undo: argosy refit {account.root} --undo {account.run}")
    return lines


def _closing_line(account: Account, *, is_applied: bool) -> str:
    """Return the account of the files: changed and unchanged add up to all."""
    changed, broken = len(account.after), len(account.unparsed)
    verb = "changed" if is_applied else "would change"
    unchanged = account.files - changed - broken
    left = f", {len(account.left_out)} could not be read" if account.left_out else ""
    return (
        f"{counted(account.files, 'file')}: {changed} {verb}, {unchanged} stay, "
        f"{broken} that might concern it do not parse{left}; {account.seconds:.1f} s"
    )


def _print_diff(path: str, before: bytes, after: bytes) -> None:
    old, new = (_text(data, path) for data in (before, after))
    for line in difflib.unified_diff(old, new, f"a/{path}", f"b/{path}", n=2):
        kind = line[:1] if line[:3] not in ("+++", "---") else ""
        shown = line.rstrip("\r\n")
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(kind)
        sys.stdout.write((paint(shown, colour) if colour else shown) + "\n")


def _text(data: bytes, path: str) -> list[str]:
    source = take_source(data, path)
    text = source.text() if isinstance(source, Source) else data.decode("utf-8", "replace")
    return text.splitlines(keepends=True)
