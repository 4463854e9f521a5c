"""Print the agents' output, merged, oldest line first, each line with the name of its agent.

An agent of a cell has its own lines and those of its cell that belong to no single agent.
`-f` follows the output across restarts and marks the start of each new process. The limits of `logs` in
the fleet file apply: the oldest lines are deleted first. If an agent has not run yet, a note on stderr
says so; `-f` waits for its first line.

example: argosy logs Translator -n 40 -f
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import heapq
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from argosy.cli.arguments import add_fleet, add_options
from argosy.cli.commands.remote_logs import RemoteAgents, RemoteLogFeed
from argosy.cli.console import paint, supports_colour
from argosy.cli.fleet_selection import select_fleet
from argosy.cli.standard_streams import discard_stdout
from argosy.engine.cells.cell_logs import LogSources, find_log_sources
from argosy.engine.logs.log_file import escape_control
from argosy.engine.logs.log_reader import LogLine, LogReader, find_tail_offset
from argosy.engine.logs.log_watch import LogWatch, wait_for_directory
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.state.state_dir import StateDir
from argosy.fault import ArgosyError, Fault, InputError
from argosy.fleet.quantities import format_size

_CHUNK_BYTES: Final = 4 * 2**20
_RECONNECT_S: Final = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy logs`."""
    add_fleet(parser, positionals="[AGENT...]", positionals_help="agents (default: all)", allow_name=True)
    options = {
        "-f, --follow": "follow: print new lines as they are written",
        "--here": "only agents of this machine",
    }
    add_options(parser, options)
    parser.add_argument("-n", "--lines", type=int, metavar="N", help="only the last N lines")


def run(args: argparse.Namespace) -> int:
    """Print the lines; returns 0."""
    (path, _, state_dir), names = select_fleet(args)
    sources = find_log_sources(state_dir)
    remote = RemoteAgents(None if args.here else state_dir)
    local_names = [name for name in names if name not in remote.machine_of]
    logs = _select_logs(sources, local_names, path, state_dir) if local_names or not names else {}
    if args.lines is not None and args.lines < 0:
        raise InputError(Fault("-n", "usage", f"found {args.lines}, expected 0 or more lines"))
    readers = [
        LogReader(name, log, find_tail_offset(log, args.lines) if args.lines is not None else 0)
        for name, log in logs.items()
    ]
    feeds = remote.open_feeds(names, args.lines, follow=args.follow)
    lines = _merge_lines(readers, sources, local_names)
    if not args.follow:
        lines = heapq.merge(lines, *(feed.read_all() for feed in feeds), key=lambda line: line.at_s)
    if args.lines is not None:
        lines = deque(lines, maxlen=args.lines)
    without_lines = [name for name in local_names if not sources.logs_of(name)]
    if not names and not logs and not feeds:
        without_lines = ["this fleet"]
    _warn_without_lines(without_lines, is_waiting=args.follow)
    remote_agents = () if names else remote.machine_of
    width = max((len(name) for name in (*logs, *(names or sources.cells), *remote_agents)), default=0)
    if args.follow:
        # asyncio delays Ctrl-C until its loop runs again, and a blocked write to stdout prevents that.
        signal.signal(signal.SIGINT, _raise_interrupt)
    try:
        _print(lines, width, as_json=args.as_json)
        if args.follow:
            show = partial(_print, width=width, as_json=args.as_json)
            is_here = bool(local_names or not names)
            asyncio.run(_follow(state_dir, sources, local_names if is_here else None, readers, feeds, show))
    except KeyboardInterrupt:
        if not args.follow:
            raise
        discard_stdout()  # the normal end, also if nothing reads stdout
    return 0


def _raise_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _merge_lines(
    readers: Iterable[LogReader], sources: LogSources, names: list[str], max_bytes: int | None = None
) -> Iterable[LogLine]:
    line_iterators = (sources.read(each, names, max_bytes) for each in readers)
    return heapq.merge(*line_iterators, key=lambda line: line.at_s)


def _select_logs(sources: LogSources, names: list[str], fleet: Path, state_dir: StateDir) -> dict[str, Path]:
    """Return the logs of the named agents; an agent that has not run yet has none.

    Raises InputError: the fleet has no agent of that name.
    """
    found: dict[str, Path] = {}
    without_log = []
    for name in names:
        agent_logs = sources.logs_of(name)
        found |= agent_logs
        if not agent_logs:
            without_log.append(name)
    known = _declared_agents(fleet, state_dir) if without_log else frozenset()
    faults = []
    for name in without_log:
        if name not in known:
            near = difflib.get_close_matches(name, {*sources.logs, *sources.cells, *known}, 1)
            hint = f"did you mean `{near[0]}`?" if near else "`argosy status` lists the agents"
            faults.append(Fault(name, "no-log", f"there is no log of an agent `{name}`", hint))
    if faults:
        raise InputError(*faults)
    return found if names else sources.logs


def _declared_agents(fleet: Path, state_dir: StateDir) -> frozenset[str]:
    """Return the agents that the fleet file has, and those of the plan applied last."""
    from argosy.fleet.loader import load_fleet  # noqa: PLC0415 - rarely needed

    applied_plan = load_applied_plan(state_dir)
    applied = frozenset(applied_plan.plan.processes) if applied_plan is not None else frozenset()
    try:
        return applied | frozenset(load_fleet(fleet).agents)
    except ArgosyError:
        return applied  # an invalid fleet file does not prevent reading logs


def _warn_without_lines(names: list[str], *, is_waiting: bool) -> None:
    for name in names:
        message = "waiting for its first line" if is_waiting else "it has no lines"
        sys.stderr.write(f"{name} has not run here yet: {message}\n")


async def _follow(
    state_dir: StateDir,
    sources: LogSources,
    names: list[str] | None,
    readers: list[LogReader],
    feeds: list[RemoteLogFeed],
    show: Callable[[Iterable[LogLine]], None],
) -> None:
    """Print new lines; reads a limited chunk of each log in turn, so that a busy one does not delay others.

    names: agents of this machine, empty for all, None for none. feeds: the lines of other machines.
    """
    loop = asyncio.get_running_loop()
    for feed in feeds:
        loop.add_reader(feed.fileno(), _print_feed, feed, show, loop)
    if names is None:
        await loop.create_future()  # until Ctrl-C
        return
    await wait_for_directory(state_dir.logs_dir, loop)  # the fleet may not have been started here yet
    known = {reader.agent: reader for reader in readers}
    pending: dict[str, LogReader] = {}
    changed = asyncio.Event()

    def on_growth(logs: list[Path]) -> None:
        nonlocal sources
        if any(log.stem not in sources.logs for log in logs):
            sources = find_log_sources(state_dir)  # a new log: an agent started for the first time
        wanted = {of_it for name in names for of_it in sources.logs_of(name)}
        wanted_logs = [log for log in logs if not names or log.stem in wanted]
        pending.update(
            {log.stem: known.setdefault(log.stem, LogReader(log.stem, log)) for log in wanted_logs}
        )
        changed.set()

    watch = LogWatch(state_dir.logs_dir, loop, on_growth)
    on_growth([*state_dir.logs_dir.glob("*.log")])  # also what was written before the watch
    try:
        while await changed.wait():
            changed.clear()
            show(_merge_lines(pending.values(), sources, names, _CHUNK_BYTES))
            pending = {name: reader for name, reader in pending.items() if reader.is_behind}
            if pending:
                changed.set()
            await asyncio.sleep(0)  # let the watch report other logs
    finally:
        watch.close()


def _print_feed(
    feed: RemoteLogFeed, show: Callable[[Iterable[LogLine]], None], loop: asyncio.AbstractEventLoop
) -> None:
    file = feed.fileno()
    show(feed.read_available())
    if feed.is_closed:
        loop.remove_reader(file)
    if feed.is_disconnected:
        loop.call_later(_RECONNECT_S, _resume_feed, feed, show, loop)


def _resume_feed(
    feed: RemoteLogFeed, show: Callable[[Iterable[LogLine]], None], loop: asyncio.AbstractEventLoop
) -> None:
    """Reconnect to a machine that became unreachable; retry until it is back."""
    if feed.reconnect():
        loop.add_reader(feed.fileno(), _print_feed, feed, show, loop)
    else:
        loop.call_later(_RECONNECT_S, _resume_feed, feed, show, loop)


def _print(lines: Iterable[LogLine], width: int, *, as_json: bool) -> None:
    is_terminal, is_colour = sys.stdout.isatty(), supports_colour(sys.stdout)
    for line in lines:
        if as_json:
            entry = {
                "agent": line.agent,
                "at": line.at_s,
                "line": line.text,
                "seam": bool(line.process_start_pid),
                "pid": line.process_start_pid or None,
                "lost_bytes": line.lost_bytes,
                "lost_since": line.lost_since_s or None,
            }
            sys.stdout.write(msgspec.json.encode(entry).decode() + "\n")
        elif line.process_start_pid:
            text = f"{line.agent:<{width}} | --- starts, pid {line.process_start_pid} ---"
            sys.stdout.write(paint(text, "dim") + "\n")
        elif line.lost_bytes:
            sys.stdout.write(
                paint(f"{line.agent:<{width}} | --- {_describe_dropped(line)} ---", "yellow") + "\n"
            )
        else:
            shown = escape_control(line.text, keep_colours=is_colour) if is_terminal else line.text
            sys.stdout.write(f"{line.agent:<{width}} | {shown}\n")
    sys.stdout.flush()


def _describe_dropped(line: LogLine) -> str:
    since = f"from {_format_time(line.lost_since_s)} " if line.lost_since_s else ""
    until = _format_time(line.at_s)
    return f"{format_size(line.lost_bytes)} {since}until {until} dropped by the limits of `logs`"


def _format_time(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
