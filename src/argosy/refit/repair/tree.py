"""Repairs of a whole tree: finds the files that do not parse or cannot start, and proposes for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence

import msgspec

from argosy.refit.repair.mend import Reached, conclude, look_at, reach
from argosy.refit.repair.names.shown import read_shown
from argosy.refit.repair.proposal import Proposal
from argosy.refit.repair.spread import spread
from argosy.refit.repair.startup.around import Around
from argosy.refit.rewrite.exchange import Kept
from argosy.refit.rewrite.run import Run, locked
from argosy.refit.walk import take_snapshot
from argosy.source.collector import collector_paused
from argosy.source.parse import Parsed, parse
from argosy.source.text import Source, Unparsed, read_source


class Account(msgspec.Struct, frozen=True):
    """What a repair found.

    root: absolute; paths are relative to it. files: how many were read; unreadable: those that are no
    source, and why. run: what was written, None when nothing was; kept: files that were to be written,
    and why they were not.
    """

    root: str
    files: int
    proposals: tuple[Proposal, ...]
    unreadable: tuple[Unparsed, ...]
    run: str | None = None
    changed: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()


# What the folder of a project holds.
_MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")

Progress = Callable[[str, int, int], None]


def repair_tree(
    root: str,
    *,
    exclude: Sequence[str] = (),
    absent: Collection[str] = (),
    progress: Progress | None = None,
) -> Account:
    """Return proposals for the files below `root`, or for the one file that `root` is; writes nothing.

    absent: top modules of packages that are not there where the code will run.
    progress: called with what is being done, how much of it is done, and how much there is.
    """
    told = progress or (lambda what, done, total: None)
    folder, paths = _paths(root, exclude)
    sorted_out = _sort_out(folder, paths, absent, told)
    broken = sorted_out.broken
    reached = [
        *sorted_out.parsing,
        *spread(
            lambda item: reach(*item), broken, lambda done: told("looking for repairs", done, len(broken))
        ),
    ]
    names = {name for item in reached for name in item.names}
    told("reading what the tree shows", 0, len(paths))
    mended = {item.source.path: text for item in reached if (text := item.shows()) is not None}
    every = _around(folder, paths)
    shown = read_shown(folder, every, names, mended)
    around = Around(folder, every, mended, absent)
    concluded = spread(
        lambda item: conclude(item, shown, around),
        reached,
        lambda done: told("mending names and starts", done, len(reached)),
    )
    proposals = [item for item in concluded if item.damage is not None or item.steps]
    proposals.sort(key=lambda item: item.path)
    unreadable = tuple(sorted_out.unreadable)
    return Account(folder, len(paths), tuple(proposals), unreadable)


def apply_repair(account: Account) -> Account:
    """Write the proposals whose gates all hold, as one run; return the account of what was really written.

    Raises RefusedError: another refit is at work in the tree.
    """
    contents = {item.path: (item.before, item.after) for item in account.proposals if item.parses}
    if not contents:
        return account
    with locked(account.root):
        run = Run(account.root)
        kept = run.apply(contents)
    changed = tuple(entry.path for entry in run.files)
    name = run.name if changed else None
    return msgspec.structs.replace(account, run=name, changed=changed, kept=tuple(kept))


def _paths(root: str, exclude: Sequence[str]) -> tuple[str, list[str]]:
    if os.path.isfile(root):
        whole = os.path.realpath(root)
        folder = _project_of(whole)
        return folder, [os.path.relpath(whole, folder).replace(os.sep, "/")]
    stamps = take_snapshot(root, exclude=exclude).stamps
    return os.path.realpath(root), sorted(path for path in stamps if path.endswith(".py"))


def _project_of(path: str) -> str:
    """Return the folder that a file's tree has: this one when the file is below it, else the project's."""
    here = os.path.realpath(os.getcwd())
    if path.startswith(here + os.sep):
        return here
    folder = os.path.dirname(path)
    above = folder
    while above != os.path.dirname(above):
        if any(os.path.exists(os.path.join(above, mark)) for mark in _MARKS):
            return above
        above = os.path.dirname(above)
    return folder


def _around(folder: str, paths: Sequence[str]) -> Sequence[str]:
    """Return the files that show names: those asked for, or, for a single file, those of its tree."""
    if len(paths) != 1:
        return paths
    return sorted(path for path in take_snapshot(folder).stamps if path.endswith(".py"))


class _SortedOut(msgspec.Struct, frozen=True):
    """The files by what there is to do: broken ones, those that parse and read unbound names, no sources."""

    broken: list[tuple[Source, Unparsed]]
    parsing: list[Reached]
    unreadable: list[Unparsed]


def _sort_out(folder: str, paths: Sequence[str], absent: Collection[str], told: Progress) -> _SortedOut:
    found = _SortedOut([], [], [])
    with collector_paused():
        for done, path in enumerate(paths):
            if done % 50 == 0:
                told("reading", done, len(paths))
            source = read_source(os.path.join(folder, path))
            if isinstance(source, Unparsed):
                found.unreadable.append(msgspec.structs.replace(source, path=path))
                continue
            source = msgspec.structs.replace(source, path=path)
            parsed = parse(source, is_compiled=False)
            if isinstance(parsed, Parsed):
                reached = look_at(parsed, absent)
                if reached is not None:
                    found.parsing.append(reached)
            elif parsed.stage == "read":
                found.unreadable.append(parsed)
            else:
                found.broken.append((source, parsed))
    return found
