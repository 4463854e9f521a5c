"""The agents' output, merged, oldest line first, each with the name of its agent.

An agent of a cell has its own lines and those of its cell that nobody has signed.
`-f` goes on as lines come, across restarts; where a new process begins it says so. What the fleet
file's `logs` allows is kept: the oldest lines go first. Of an agent that has not run yet there are no
lines, which is said on stderr; `-f` waits for them.

example: argosy logs Translator -n 40 -f
"""

from __future__ import annotations

import asyncio
import difflib
import heapq
import signal
import sys
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from argosy.cli.arguments import add_fleet
from argosy.cli.chosen import take_chosen
from argosy.cli.logs_elsewhere import Elsewhere
from argosy.cli.report import is_colourful, paint
from argosy.cli.stdout import give_up_stdout
from argosy.engine.celllog import find_sources
from argosy.engine.logreader import Reader, tail_offset
from argosy.engine.logwatch import LogWatch, appearance
from argosy.engine.printable import show_control
from argosy.engine.roster import read_roster
from argosy.fault import ArgosyError, Fault, InputError
from argosy.fleet.units import shown_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from argosy.cli.logs_elsewhere import Feed
    from argosy.engine.celllog import Sources
    from argosy.engine.folder import Folder
    from argosy.engine.logreader import Line

_AT_A_TIME_BYTES: Final = 4 * 2**20
_AGAIN_AFTER_S: Final = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy logs`."""
    add_fleet(parser, words="[AGENT...]", words_help="agents (default: all)", takes_name=True)
    parser.add_argument("-f", "--follow", action="store_true", help="go on as lines come")
    parser.add_argument("--here", action="store_true", help="this machine's agents only")
    parser.add_argument("-n", "--lines", type=int, metavar="N", help="the last N lines only")


def run(args: argparse.Namespace) -> int:
    """Print the lines; returns 0."""
    (path, _, folder), names = take_chosen(args)
    sources = find_sources(folder)
    elsewhere = Elsewhere(None if args.here else folder)
    here = [name for name in names if name not in elsewhere.machine_of]
    logs = _logs_of(sources, here, path, folder) if here or not names else {}
    if args.lines is not None and args.lines < 0:
        raise InputError(Fault("-n", "usage", f"{args.lines} lines cannot be shown", "give 0 or more"))
    readers = [
        Reader(name, log, tail_offset(log, args.lines) if args.lines is not None else 0)
        for name, log in logs.items()
    ]
    feeds = elsewhere.feeds(names, args.lines, is_endless=args.follow)
    lines = _merged(readers, sources, here)
    if not args.follow:
        lines = heapq.merge(lines, *(feed.all() for feed in feeds), key=lambda line: line.at_s)
    if args.lines is not None:
        lines = deque(lines, maxlen=args.lines)
    silent = [name for name in here if not sources.of(name)]
    if not names and not logs and not feeds:
        silent = ["this fleet"]
    _tell_silent(silent, is_waiting=args.follow)
    far = () if names else elsewhere.machine_of
    width = max((len(name) for name in (*logs, *(names or sources.cells), *far)), default=0)
    if args.follow:
        # asyncio would put a Ctrl-C off until its loop turns again; output that nobody takes holds that.
        signal.signal(signal.SIGINT, _interrupt)
    try:
        _print(lines, width, as_json=args.as_json)
        if args.follow:
            show = partial(_print, width=width, as_json=args.as_json)
            is_here = bool(here or not names)
            asyncio.run(_follow(folder, sources, here if is_here else None, readers, feeds, show))
    except KeyboardInterrupt:
        if not args.follow:
            raise
        give_up_stdout()  # the way to end it, also when nobody takes what it says
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _merged(
    readers: Iterable[Reader], sources: Sources, names: list[str], most_bytes: int | None = None
) -> Iterable[Line]:
    every = (sources.read(each, names, most_bytes) for each in readers)
    return heapq.merge(*every, key=lambda line: line.at_s)


def _logs_of(sources: Sources, names: list[str], fleet: Path, folder: Folder) -> dict[str, Path]:
    """Return the logs of the agents asked for; an agent that has not run yet has none.

    Raises InputError: the fleet has no agent of that name.
    """
    found: dict[str, Path] = {}
    absent = []
    for name in names:
        of_it = sources.of(name)
        found |= of_it
        if not of_it:
            absent.append(name)
    known = _declared(fleet, folder) if absent else frozenset()
    faults = []
    for name in absent:
        if name not in known:
            near = difflib.get_close_matches(name, {*sources.logs, *sources.cells, *known}, 1)
            hint = f"did you mean `{near[0]}`?" if near else "`argosy status` lists the agents"
            faults.append(Fault(name, "no-log", f"there is no log of an agent `{name}`", hint))
    if faults:
        raise InputError(*faults)
    return found if names else sources.logs


def _declared(fleet: Path, folder: Folder) -> frozenset[str]:
    """Return the agents that the fleet file has, and those of the plan applied last."""
    from argosy.fleet.load import load_fleet  # noqa: PLC0415 - for names without a log only

    roster = read_roster(folder)
    applied = frozenset(roster.plan.processes) if roster is not None else frozenset()
    try:
        return applied | frozenset(load_fleet(fleet).agents)
    except ArgosyError:
        return applied  # a faulty file is in nobody's way who reads logs


def _tell_silent(names: list[str], *, is_waiting: bool) -> None:
    for name in names:
        words = "waiting for its first line" if is_waiting else "there are no lines of it"
        sys.stderr.write(f"{name} has not run here yet: {words}\n")


async def _follow(
    folder: Folder,
    sources: Sources,
    names: list[str] | None,
    readers: list[Reader],
    feeds: list[Feed],
    show: Callable[[Iterable[Line]], None],
) -> None:
    """Print what comes; of each log so much at a time that a flooded one does not silence the others.

    names: of this machine, empty for all, None for none of them. feeds: of the other machines.
    """
    loop = asyncio.get_running_loop()
    for feed in feeds:
        loop.add_reader(feed.fileno(), _show_feed, feed, show, loop)
    if names is None:
        await loop.create_future()  # until somebody interrupts
        return
    await appearance(folder.logs, loop)  # of a fleet that has not been started here yet
    known = {reader.agent: reader for reader in readers}
    behind: dict[str, Reader] = {}
    woken = asyncio.Event()

    def grown(logs: list[Path]) -> None:
        nonlocal sources
        if any(log.stem not in sources.logs for log in logs):
            sources = find_sources(folder)  # an agent has begun that had no log before
        wanted = {of_it for name in names for of_it in sources.of(name)}
        told = [log for log in logs if not names or log.stem in wanted]
        behind.update({log.stem: known.setdefault(log.stem, Reader(log.stem, log)) for log in told})
        woken.set()

    watch = LogWatch(folder.logs, loop, grown)
    grown([*folder.logs.glob("*.log")])  # also what came before the watch
    try:
        while await woken.wait():
            woken.clear()
            show(_merged(behind.values(), sources, names, _AT_A_TIME_BYTES))
            behind = {name: reader for name, reader in behind.items() if reader.is_behind}
            if behind:
                woken.set()
            await asyncio.sleep(0)  # let the watch tell of others
    finally:
        watch.close()


def _show_feed(feed: Feed, show: Callable[[Iterable[Line]], None], loop: asyncio.AbstractEventLoop) -> None:
    file = feed.fileno()
    show(feed.soon())
    if feed.is_over:
        loop.remove_reader(file)
    if feed.is_cut:
        loop.call_later(_AGAIN_AFTER_S, _go_on, feed, show, loop)


def _go_on(feed: Feed, show: Callable[[Iterable[Line]], None], loop: asyncio.AbstractEventLoop) -> None:
    """Take the lines of a machine that went out of sight up again, as soon as it is back."""
    if feed.go_on():
        loop.add_reader(feed.fileno(), _show_feed, feed, show, loop)
    else:
        loop.call_later(_AGAIN_AFTER_S, _go_on, feed, show, loop)


def _print(lines: Iterable[Line], width: int, *, as_json: bool) -> None:
    is_terminal, is_colour = sys.stdout.isatty(), is_colourful(sys.stdout)
    for line in lines:
        if as_json:
            entry = {
                "agent": line.agent,
                "at": line.at_s,
                "line": line.text,
                "seam": bool(line.seam),
                "pid": line.seam or None,
                "lost_bytes": line.lost_bytes,
                "lost_since": line.lost_since_s or None,
            }
            sys.stdout.write(msgspec.json.encode(entry).decode() + "\n")
        elif line.seam:
            text = f"{line.agent:<{width}} | --- starts, pid {line.seam} ---"
            sys.stdout.write(paint(text, "dim") + "\n")
        elif line.lost_bytes:
            sys.stdout.write(paint(f"{line.agent:<{width}} | --- {_told_lost(line)} ---", "yellow") + "\n")
        else:
            shown = show_control(line.text, keep_colours=is_colour) if is_terminal else line.text
            sys.stdout.write(f"{line.agent:<{width}} | {shown}\n")
    sys.stdout.flush()


def _told_lost(line: Line) -> str:
    since = f"from {_clock(line.lost_since_s)} " if line.lost_since_s else ""
    return f"{shown_size(line.lost_bytes)} {since}until {_clock(line.at_s)} dropped by the limits of `logs`"


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
