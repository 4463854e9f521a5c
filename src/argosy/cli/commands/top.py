"""Show the fleet live, full screen, until `q`.

  up down page-up page-down   select an agent       enter   its last lines, and back
  s                           next sort order       /       filter by name, group or state
  r                           restart the agent     q       quit; the fleet keeps running

example: argosy top path/to/fleet.yaml
"""

from __future__ import annotations

import argparse
import curses
import os
import select
import sys
import time
from pathlib import Path

from argosy.cli.arguments import add_fleet, parse_fleet
from argosy.cli.console import EXIT_INTERRUPTED
from argosy.cli.render.top_view import (
    SORT_ORDERS,
    CpuUsage,
    TopRow,
    describe_hidden_rows,
    format_table,
    make_rows,
    summary_line,
    wrap_lines,
)
from argosy.engine.control.control_client import (
    ControlClient,
    SupervisorLostError,
    connect,
    connect_running,
)
from argosy.engine.logs.log_file import last_lines
from argosy.engine.protocol.messages import AgentStateChanged, FleetStatus, Restart, Restarted, Subscribe
from argosy.engine.protocol.state_machine import READY_STATES, State
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.fault import ArgosyError, Fault, InputError

_REFRESH_S = 1.0
_RECEIVE_TIMEOUT_S = 0.5
_FIRST_ROW = 2
_FOOTER_LINES = 4  # lines: hidden rows, two for the selected agent, the keys
_SUMMARY_LINES = 2
_KEY_HELP = "q quit  enter lines  s order  / filter  r restart"
_COLOURS = {"good": curses.COLOR_GREEN, "fair": curses.COLOR_YELLOW, "bad": curses.COLOR_RED}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy top`."""
    add_fleet(parser)


def run(args: argparse.Namespace) -> int:
    """Show the view. Raises InputError: there is no terminal. Raises RefusedError: the fleet does not run."""
    path, _ = parse_fleet(args)
    if args.as_json or not (sys.stdout.isatty() and sys.stdin.isatty()):
        message = "the full-screen view needs a terminal"
        raise InputError(Fault("top", "no-terminal", message, "use `argosy status --json` in programs"))
    screen = _Screen(locate_state_dir(path), path)
    os.environ.setdefault("ESCDELAY", "25")
    try:
        curses.wrapper(screen.show)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except curses.error as error:
        if screen.is_terminal_closed:
            return EXIT_INTERRUPTED
        message = f"the terminal does not support a full-screen view: {error}"
        raise InputError(Fault("TERM", "unusable-terminal", message)) from None
    return EXIT_INTERRUPTED if screen.is_terminal_closed else 0


class _Screen:
    """The view of one fleet. is_terminal_closed: the terminal was closed."""

    def __init__(self, state_dir: StateDir, path: Path) -> None:
        self._state_dir = state_dir
        self._path = path
        self._client: ControlClient | None = self._connect()
        self._report = self._fetch_report()
        self._cpu_usage = CpuUsage()
        self._cpu_percent: dict[int, float] = {}
        self._order = SORT_ORDERS[0]
        self._filter = ""
        self._selected = ""
        self._first_row = 0
        self._is_showing_log = False
        self._message = ""
        self.is_terminal_closed = False

    def show(self, window: curses.window) -> None:
        """Draw and update the view until `q`."""
        self._prepare(window)
        refreshed_s = 0.0
        while True:
            if time.monotonic() - refreshed_s >= _REFRESH_S:
                refreshed_s = time.monotonic()
                self._refresh()
            rows = make_rows(self._report, self._cpu_percent, self._order, self._filter, time.time())
            self._draw(window, rows)
            waited = [sys.stdin, *([self._client] if self._client is not None else [])]
            wait_s = max(_REFRESH_S - (time.monotonic() - refreshed_s), 0.0)
            ready, _, _ = select.select(waited, [], [], wait_s)
            if self._client in ready and self._receive_event():
                refreshed_s = 0.0
            if sys.stdin in ready and not self._handle_key(window, rows):
                return

    def _prepare(self, window: curses.window) -> None:
        curses.curs_set(0)
        window.nodelay(True)
        if curses.has_colors() and not os.environ.get("NO_COLOR"):
            curses.use_default_colors()
            for number, colour in enumerate(_COLOURS.values(), 1):
                curses.init_pair(number, colour, -1)

    def _connect(self) -> ControlClient:
        client = connect_running(self._state_dir, "top", self._path)
        client.send(Subscribe())
        return client

    def _fetch_report(self) -> FleetStatus:
        client = connect(self._state_dir, "top")
        if client is None:
            raise SupervisorLostError
        with client:
            return client.fetch_status()

    def _refresh(self) -> None:
        try:
            if self._client is None:
                self._client = self._connect()
                self._message = ""
            self._report = self._fetch_report()
        except ArgosyError as error:
            self._message = error.faults[0].message
            self._disconnect()
        pids = [status.pid for status in self._report.local_agents().values() if status.pid]
        self._cpu_percent = self._cpu_usage.sample(pids)

    def _disconnect(self) -> None:
        if self._client is not None:
            with self._client:
                self._client = None

    def _receive_event(self) -> bool:
        """Receive an event; return whether to draw again."""
        assert self._client is not None
        try:
            return isinstance(self._client.receive(_RECEIVE_TIMEOUT_S), AgentStateChanged)
        except TimeoutError:
            return False
        except ArgosyError as error:
            self._message = error.faults[0].message
            self._disconnect()
            return True

    # ---- keys

    def _handle_key(self, window: curses.window, rows: list[TopRow]) -> bool:
        """Handle a key; return False to quit."""
        key = window.getch()
        if key == -1 and select.select([sys.stdin], [], [], 0)[0]:
            self.is_terminal_closed = True
            return False
        names = [row.agent for row in rows]
        position = names.index(self._selected) if self._selected in names else 0
        page = _visible_rows(window.getmaxyx()[0])
        moves = {curses.KEY_UP: -1, curses.KEY_DOWN: 1, ord("k"): -1, ord("j"): 1}
        moves |= {curses.KEY_PPAGE: -page, curses.KEY_NPAGE: page}
        moves |= {curses.KEY_HOME: -len(names), curses.KEY_END: len(names)}
        if key in (ord("q"), 27):
            if not self._is_showing_log and key == ord("q"):
                return False
            self._is_showing_log = False
        elif key in moves and names:
            self._selected = names[min(max(position + moves[key], 0), len(names) - 1)]
        elif key in (10, 13, curses.KEY_ENTER):
            self._is_showing_log = not self._is_showing_log
        elif key == ord("s"):
            self._order = SORT_ORDERS[(SORT_ORDERS.index(self._order) + 1) % len(SORT_ORDERS)]
        elif key == ord("/"):
            self._filter = self._prompt(window, "filter: ")
        elif (
            key == ord("r")
            and self._selected
            and self._prompt(window, f"restart {self._selected}? [y/N] ") == "y"
        ):
            self._restart()
        return True

    def _prompt(self, window: curses.window, prompt: str) -> str:
        """Read a word on the last line."""
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
        client = connect(self._state_dir, "top")
        if client is None:
            return
        with client:
            try:
                answer = client.request(Restart(names=[self._selected]))
            except ArgosyError as error:
                self._message = error.faults[0].message
                return
        if isinstance(answer, Restarted):
            failures = ", ".join(f"{name}: {why}" for name, why in answer.not_ready.items())
            self._message = failures or f"restarted {', '.join(answer.restarted)} in {answer.seconds:.2f} s"

    # ---- drawing

    def _draw(self, window: curses.window, rows: list[TopRow]) -> None:
        height, width = window.getmaxyx()
        window.erase()
        self._put_text(
            window, 0, summary_line(self._report, len(rows), self._order, self._filter), curses.A_BOLD
        )
        if self._is_showing_log and self._selected:
            self._draw_log(window, rows, height, width)
        else:
            self._draw_rows(window, rows, height, width)
        if height > 2:
            self._put_text(window, height - 1, self._message or _KEY_HELP, curses.A_DIM)
        window.refresh()

    def _draw_rows(self, window: curses.window, rows: list[TopRow], height: int, width: int) -> None:
        head, lines = format_table(rows, width - 1)
        names = [row.agent for row in rows]
        if self._selected not in names:
            self._selected = names[0] if names else ""
        visible_rows = _visible_rows(height)
        position = names.index(self._selected) if names else 0
        self._first_row = min(max(self._first_row, position - visible_rows + 1), position)
        self._put_text(window, 1, head, curses.A_DIM)
        for offset, (row, line) in enumerate(
            list(zip(rows, lines, strict=True))[self._first_row : self._first_row + visible_rows]
        ):
            attribute = curses.A_REVERSE if row.agent == self._selected else 0
            self._put_text(window, _FIRST_ROW + offset, line, attribute | _colour(row.state))
        if height > _FIRST_ROW + _FOOTER_LINES:
            below = max(len(rows) - self._first_row - visible_rows, 0)
            self._put_text(
                window, height - _FOOTER_LINES, describe_hidden_rows(self._first_row, below), curses.A_DIM
            )
            for offset, line in enumerate(
                wrap_lines(self._summary_of_selected(rows), width - 1, _SUMMARY_LINES)
            ):
                self._put_text(window, height - 1 - _SUMMARY_LINES + offset, line, 0)

    def _summary_of_selected(self, rows: list[TopRow]) -> str:
        return next((row.summary for row in rows if row.agent == self._selected), "")

    def _draw_log(self, window: curses.window, rows: list[TopRow], height: int, width: int) -> None:
        summary_lines = wrap_lines(self._summary_of_selected(rows), width - 1, max(height // 2, 1))
        for offset, line in enumerate(summary_lines):
            self._put_text(window, 1 + offset, line, 0)
        top = 1 + len(summary_lines)
        self._put_text(window, top, f"last lines of {self._selected} (enter or escape: back)", curses.A_DIM)
        log_lines = last_lines(self._state_dir.log_file(self._selected), 0, max(height - top - 2, 1))
        for offset, line in enumerate(log_lines):
            self._put_text(window, top + 1 + offset, line, 0)

    def _put_text(self, window: curses.window, row: int, text: str, attribute: int) -> None:
        height, width = window.getmaxyx()
        if row < height:
            plain = "".join(char if char.isprintable() else " " for char in text)
            window.addnstr(row, 0, plain, width - 1, attribute)


def _visible_rows(height: int) -> int:
    """Return how many agents fit on the screen."""
    return max(height - _FIRST_ROW - (_FOOTER_LINES if height > _FIRST_ROW + _FOOTER_LINES else 1), 1)


def _colour(state: State) -> int:
    if not curses.has_colors() or os.environ.get("NO_COLOR"):
        return 0
    number = (
        1 if state is State.READY else 2 if state in (*READY_STATES, State.STARTING, State.WAITING) else 3
    )
    return 0 if state is State.EXITED else curses.color_pair(number)
