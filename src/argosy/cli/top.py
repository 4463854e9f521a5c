"""Show the whole fleet on the whole screen, live, until `q`.

  up down page-up page-down   choose an agent      enter   its last lines, and back
  s                           another order        /       only names, groups and states with a word
  r                           restart the chosen   q       leave; the fleet runs on

example: argosy top path/to/fleet.yaml
"""

from __future__ import annotations

import curses
import os
import select
import sys
import time
from typing import TYPE_CHECKING

from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.topview import ORDERS, Processors, Row, beyond, make_rows, summary, table, wrapped
from argosy.engine.client import Client, SupervisorLostError, connect, connect_running
from argosy.engine.folder import folder_of
from argosy.engine.logs import last_lines
from argosy.engine.messages import Changed, Report, Restart, Restarted, Subscribe
from argosy.engine.state import READY_STATES, State
from argosy.fault import ArgosyError, Fault, InputError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from argosy.engine.folder import Folder

_INTERRUPTED = 130
_EVERY_S = 1.0
_AGAIN_S = 0.5
_FIRST_ROW = 2
_FOOT = 4  # lines: how many more there are, the account of the chosen in two, the keys
_ACCOUNT_LINES = 2
_HINT = "q leave  enter lines  s order  / filter  r restart"
_COLOURS = {"good": curses.COLOR_GREEN, "fair": curses.COLOR_YELLOW, "bad": curses.COLOR_RED}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy top`."""
    add_fleet(parser)


def run(args: argparse.Namespace) -> int:
    """Show it. Raises InputError: there is no terminal. Raises RefusedError: nothing runs."""
    path, _ = take_fleet(args)
    if args.as_json or not (sys.stdout.isatty() and sys.stdin.isatty()):
        message = "the full-screen view needs a terminal"
        raise InputError(Fault("top", "no-terminal", message, "`argosy status --json` tells it to a program"))
    screen = _Screen(folder_of(path), path)
    os.environ.setdefault("ESCDELAY", "25")
    try:
        curses.wrapper(screen.show)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except curses.error as error:
        if screen.is_gone:
            return _INTERRUPTED
        raise InputError(Fault("TERM", "terminal", f"the terminal cannot be drawn on: {error}")) from None
    return _INTERRUPTED if screen.is_gone else 0


class _Screen:
    """The view of one fleet. is_gone: the terminal under it was closed."""

    def __init__(self, folder: Folder, path: Path) -> None:
        self._folder = folder
        self._path = path
        self._client: Client | None = self._connect()
        self._report = self._ask()
        self._processors = Processors()
        self._cpu: dict[int, float] = {}
        self._order = ORDERS[0]
        self._wanted = ""
        self._chosen = ""
        self._first = 0
        self._is_reading = False
        self._message = ""
        self.is_gone = False

    def show(self, window: curses.window) -> None:
        """Draw and follow until somebody leaves."""
        self._prepare(window)
        looked_s = 0.0
        while True:
            if time.monotonic() - looked_s >= _EVERY_S:
                looked_s = time.monotonic()
                self._look()
            rows = make_rows(self._report, self._cpu, self._order, self._wanted, time.time())
            self._draw(window, rows)
            waited = [sys.stdin, *([self._client] if self._client is not None else [])]
            wait_s = max(_EVERY_S - (time.monotonic() - looked_s), 0.0)
            ready, _, _ = select.select(waited, [], [], wait_s)
            if self._client in ready and self._has_news():
                looked_s = 0.0
            if sys.stdin in ready and not self._take_key(window, rows):
                return

    def _prepare(self, window: curses.window) -> None:
        curses.curs_set(0)
        window.nodelay(True)
        if curses.has_colors() and not os.environ.get("NO_COLOR"):
            curses.use_default_colors()
            for number, colour in enumerate(_COLOURS.values(), 1):
                curses.init_pair(number, colour, -1)

    def _connect(self) -> Client:
        client = connect_running(self._folder, "top", self._path)
        client.send(Subscribe())
        return client

    def _ask(self) -> Report:
        client = connect(self._folder, "top")
        if client is None:
            raise SupervisorLostError
        with client:
            return client.report()

    def _look(self) -> None:
        try:
            if self._client is None:
                self._client = self._connect()
                self._message = ""
            self._report = self._ask()
        except ArgosyError as error:
            self._message = error.faults[0].message
            self._drop()
        pids = [status.pid for status in self._report.at_home().values() if status.pid]
        self._cpu = self._processors.look(pids)

    def _drop(self) -> None:
        if self._client is not None:
            with self._client:
                self._client = None

    def _has_news(self) -> bool:
        """Take what the supervisor tells; return whether there is something to draw."""
        assert self._client is not None
        try:
            return isinstance(self._client.receive(_AGAIN_S), Changed)
        except TimeoutError:
            return False
        except ArgosyError as error:
            self._message = error.faults[0].message
            self._drop()
            return True

    # ---- keys

    def _take_key(self, window: curses.window, rows: list[Row]) -> bool:
        """Do what a key asks; return whether the view goes on."""
        key = window.getch()
        if key == -1 and select.select([sys.stdin], [], [], 0)[0]:
            self.is_gone = True
            return False
        names = [row.agent for row in rows]
        at = names.index(self._chosen) if self._chosen in names else 0
        page = _room(window.getmaxyx()[0])
        moves = {curses.KEY_UP: -1, curses.KEY_DOWN: 1, ord("k"): -1, ord("j"): 1}
        moves |= {curses.KEY_PPAGE: -page, curses.KEY_NPAGE: page}
        moves |= {curses.KEY_HOME: -len(names), curses.KEY_END: len(names)}
        if key in (ord("q"), 27):
            if not self._is_reading and key == ord("q"):
                return False
            self._is_reading = False
        elif key in moves and names:
            self._chosen = names[min(max(at + moves[key], 0), len(names) - 1)]
        elif key in (10, 13, curses.KEY_ENTER):
            self._is_reading = not self._is_reading
        elif key == ord("s"):
            self._order = ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)]
        elif key == ord("/"):
            self._wanted = self._line(window, "show only: ")
        elif (
            key == ord("r") and self._chosen and self._line(window, f"restart {self._chosen}? [y/N] ") == "y"
        ):
            self._restart()
        return True

    def _line(self, window: curses.window, prompt: str) -> str:
        """Ask for a word on the last line."""
        height, width = window.getmaxyx()
        window.move(height - 1, 0)
        window.clrtoeol()
        window.addnstr(height - 1, 0, prompt, width - 1)
        window.nodelay(False)
        curses.echo()
        curses.curs_set(1)
        try:
            return (
                window.getstr(height - 1, min(len(prompt), width - 2), 40).decode("utf-8", "replace").strip()
            )
        finally:
            curses.noecho()
            curses.curs_set(0)
            window.nodelay(True)

    def _restart(self) -> None:
        client = connect(self._folder, "top")
        if client is None:
            return
        with client:
            try:
                answer = client.ask(Restart(names=[self._chosen]))
            except ArgosyError as error:
                self._message = error.faults[0].message
                return
        if isinstance(answer, Restarted):
            bad = ", ".join(f"{name}: {why}" for name, why in answer.not_ready.items())
            self._message = bad or f"restarted {', '.join(answer.restarted)} in {answer.seconds:.2f} s"

    # ---- drawing

    def _draw(self, window: curses.window, rows: list[Row]) -> None:
        height, width = window.getmaxyx()
        window.erase()
        self._put(window, 0, summary(self._report, len(rows), self._order, self._wanted), curses.A_BOLD)
        if self._is_reading and self._chosen:
            self._draw_lines(window, rows, height, width)
        else:
            self._draw_rows(window, rows, height, width)
        if height > 2:
            self._put(window, height - 1, self._message or _HINT, curses.A_DIM)
        window.refresh()

    def _draw_rows(self, window: curses.window, rows: list[Row], height: int, width: int) -> None:
        head, lines = table(rows, width - 1)
        names = [row.agent for row in rows]
        if self._chosen not in names:
            self._chosen = names[0] if names else ""
        room = _room(height)
        at = names.index(self._chosen) if names else 0
        self._first = min(max(self._first, at - room + 1), at)
        self._put(window, 1, head, curses.A_DIM)
        for offset, (row, line) in enumerate(
            list(zip(rows, lines, strict=True))[self._first : self._first + room]
        ):
            look = curses.A_REVERSE if row.agent == self._chosen else 0
            self._put(window, _FIRST_ROW + offset, line, look | _colour(row.state))
        if height > _FIRST_ROW + _FOOT:
            below = max(len(rows) - self._first - room, 0)
            self._put(window, height - _FOOT, beyond(self._first, below), curses.A_DIM)
            for offset, line in enumerate(wrapped(self._account(rows), width - 1, _ACCOUNT_LINES)):
                self._put(window, height - 1 - _ACCOUNT_LINES + offset, line, 0)

    def _account(self, rows: list[Row]) -> str:
        return next((row.account for row in rows if row.agent == self._chosen), "")

    def _draw_lines(self, window: curses.window, rows: list[Row], height: int, width: int) -> None:
        account = wrapped(self._account(rows), width - 1, max(height // 2, 1))
        for offset, line in enumerate(account):
            self._put(window, 1 + offset, line, 0)
        top = 1 + len(account)
        self._put(window, top, f"last lines of {self._chosen} (enter or escape: back)", curses.A_DIM)
        said = last_lines(self._folder.log(self._chosen), 0, max(height - top - 2, 1))
        for offset, line in enumerate(said):
            self._put(window, top + 1 + offset, line, 0)

    def _put(self, window: curses.window, line: int, text: str, look: int) -> None:
        height, width = window.getmaxyx()
        if line < height:
            plain = "".join(char if char.isprintable() else " " for char in text)
            window.addnstr(line, 0, plain, width - 1, look)


def _room(height: int) -> int:
    """Return how many agents are shown at a time."""
    return max(height - _FIRST_ROW - (_FOOT if height > _FIRST_ROW + _FOOT else 1), 1)


def _colour(state: State) -> int:
    if not curses.has_colors() or os.environ.get("NO_COLOR"):
        return 0
    number = (
        1 if state is State.READY else 2 if state in (*READY_STATES, State.STARTING, State.WAITING) else 3
    )
    return 0 if state is State.EXITED else curses.color_pair(number)
