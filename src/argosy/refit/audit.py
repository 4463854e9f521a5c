"""Audits a tree: reads what has changed, asks the rules, and returns everything that they found.

Nothing of the tree is imported or run. What can be told of a file alone is told when it is read, and kept
with its content's digest; what needs other files is told from facts, and kept with a digest of
those facts. So a tree in which nothing has changed costs one look at the stamps of its files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from argosy.refit.cache import Cache, Seen, Verdict, code_key, digest_of, find_unsettled
from argosy.refit.finding import Finding
from argosy.refit.hadolint import hadolint_key
from argosy.refit.walk import take_snapshot
from argosy.source.collector import collector_paused
from argosy.source.text import read_data

if TYPE_CHECKING:
    from argosy.refit.inquiry import Progress


class Report(msgspec.Struct, frozen=True):
    """The account of one audit.

    sizes: the bytes of every file that was looked at, by path. read: how many had to be read anew.
    unreadable: folders that could not be listed, and why. environments: virtual environments below the
    root, whose files are audited like all others. titles: of all rules, by code.
    """

    root: str
    verdict: Verdict
    sizes: Mapping[str, int]
    read: int
    unreadable: Mapping[str, str]
    environments: tuple[str, ...]
    seconds: float
    titles: Mapping[str, str]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.verdict.findings

    @property
    def refused(self) -> Mapping[str, str]:
        return self.verdict.refused


def audit(
    root: str | os.PathLike[str],
    *,
    exclude: Sequence[str] = (),
    fleet: str | os.PathLike[str] | None = None,
    cache: Path | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Return everything that the rules find below `root`.

    exclude: globs of what to leave out. fleet: the fleet file to compare with. cache: the folder of
    memories, None for none. processes: how many read at once (default: as many as there are cores).
    progress: told how many files are read, of how many.

    Raises InputError: the fleet file cannot be read, or a value in it does not fit its key.
    """
    with collector_paused():  # what is remembered of a tree is many small objects, none of them garbage
        path = None if fleet is None else os.path.abspath(fleet)
        return _audit(os.path.realpath(root), exclude, path, cache, processes, progress)


def _audit(
    whole: str,
    exclude: Sequence[str],
    fleet: str | None,
    cache: Path | None,
    processes: int | None,
    progress: Progress | None,
) -> Report:
    started = time.perf_counter()
    memory = Cache(cache, whole, exclude)
    key = digest_of([code_key(), *_known_by(fleet), b"hadolint", *hadolint_key(whole)])
    seen = memory.load("seen", Seen)
    if seen is None or seen.key != key:
        seen = None
        from argosy.refit.inquiry import make_catalogue  # noqa: PLC0415

        catalogue = make_catalogue(has_fleet=fleet is not None)
    else:
        catalogue = seen.catalogue
    taken_ns = time.time_ns()
    snapshot = take_snapshot(whole, catalogue.names, exclude)
    if seen is not None and seen.holds(whole, snapshot):
        verdict, read = seen.verdict, 0
    else:
        # The rules and all that they read with cost more to load than an unchanged tree to look at.
        from argosy.refit.inquiry import Inquiry  # noqa: PLC0415
        from argosy.refit.ledger import SpoiltError  # noqa: PLC0415

        compared = None
        if fleet is not None:
            from argosy.refit.fleetfile import recall_fleet  # noqa: PLC0415

            compared = recall_fleet(memory, fleet, key)
        at_once = processes or os.cpu_count() or 1

        def inquire(past: Seen | None) -> tuple[Inquiry, int, Verdict]:
            inquiry = Inquiry(whole, snapshot, compared, key, catalogue, memory)
            return inquiry, inquiry.read(past, at_once, progress), inquiry.verdict(at_once)

        try:
            inquiry, read, verdict = inquire(seen)
        except SpoiltError:
            inquiry, read, verdict = inquire(None)
        # The one is of use only with the other: a process may die between the two.
        twin = os.urandom(8)
        inquiry.keep(twin)
        unsettled = find_unsettled(snapshot, taken_ns)
        memory.store("seen", Seen(key, twin, catalogue, snapshot, unsettled, inquiry.asked, verdict))
    return Report(
        root=whole,
        verdict=verdict,
        sizes={path: stamp.size for path, stamp in snapshot.stamps.items()},
        read=read,
        unreadable=snapshot.unreadable,
        environments=snapshot.environments,
        seconds=time.perf_counter() - started,
        titles=catalogue.titles,
    )


def _known_by(fleet: str | None) -> tuple[bytes, ...]:
    """Return what tells a fleet file from another; one that cannot be read is told when it is asked for."""
    if fleet is None:
        return ()
    data = read_data(fleet)
    return (os.fsencode(fleet), data if isinstance(data, bytes) else b"")
