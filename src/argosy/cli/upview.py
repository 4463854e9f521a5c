"""What `argosy up` shows: transitions as lines, one status line on a terminal, the closing account."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING

from argosy.cli.report import paint
from argosy.engine.state import State

if TYPE_CHECKING:
    from argosy.engine.client import Client
    from argosy.engine.messages import Account, Answer, Changed, Difference, Sighted, Stopped
    from argosy.fault import Fault

_SILENCE_S = 5.0
_MARKS = {
    State.READY: ("ready", "green"),
    State.DEGRADED: ("degraded", "yellow"),
    State.FAILING: ("failing", "red"),
    State.RESTART_PENDING: ("ended", "yellow"),
    State.GIVEN_UP: ("given up", "red"),
    State.BLOCKED: ("blocked", "red"),
    State.EXITED: ("exited", "dim"),
}


class UpView:
    """Writes to stderr while work goes on, so that stdout holds the account alone."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._out = sys.stderr
        self._is_live = not is_quiet and self._out.isatty()
        self._began = time.monotonic()
        self._states: dict[str, State] = {}
        self._since: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self._plights: dict[str, str] = {}  # what those that may start wait for
        self._has_status_line = False

    def next_answer(self, client: Client) -> Answer:
        """Return the next message; says what is waited for when 5 s pass without news."""
        while True:
            try:
                return client.receive(_SILENCE_S)
            except TimeoutError:
                self._say_what_is_waited_for()

    def say(self, text: str) -> None:
        """Print one line, above the status line."""
        if self._is_quiet:
            return
        self._clear_status_line()
        self._out.write(text + "\n")
        self._draw_status_line()
        self._out.flush()

    def warn(self, fault: Fault) -> None:
        """Say what will not be as it is written, on stderr, whatever stdout is for."""
        self._out.write(f"{paint('warning:', 'yellow', self._out)} {fault.where}: {fault.message}\n")

    def show_difference(self, difference: Difference) -> None:
        """Say what will be done before it is."""
        parts = [
            f"{len(names)} to {verb}"
            for verb, names in (
                ("start", difference.start),
                ("restart", difference.restart),
                ("stop", difference.stop),
            )
            if names
        ]
        if difference.adopted:
            parts.append(f"{len(difference.adopted)} run already")
        agents = "agent" if difference.declared == 1 else "agents"
        about = (
            f"on {difference.machine}" if difference.machine else f"{difference.declared} {agents} declared"
        )
        self.say(f"{about}: " + (", ".join(parts) or "nothing to do"))
        if difference.adopted or difference.restart or difference.stop:
            for verb, names in (("restart", difference.restart), ("stop", difference.stop)):
                if names:
                    self.say(f"  {verb}: {', '.join(names)}")

    def show_change(self, change: Changed) -> None:
        """Print a transition that a person wants to know; count the others."""
        before = self._states.get(change.agent)
        self._states[change.agent] = change.state
        if change.state is not before:
            self._since[change.agent] = time.monotonic()
        self._plights[change.agent] = change.reason if change.state is State.STARTING else ""
        mark = _MARKS.get(change.state)
        if mark is None or change.state is before or change.state is State.EXITED:
            self._draw_status_line()
            return
        if change.reason and change.reason == self._reasons.get(change.agent):
            return  # the same trouble again: once is enough
        self._reasons[change.agent] = change.reason
        word, colour = mark
        at = time.monotonic() - self._began
        reason = f"  {change.reason}" if change.reason and change.state is not State.READY else ""
        self.say(f"{at:7.2f} s  {paint(f'{word:<9}', colour, self._out)} {change.agent}{reason}")

    def show_machine(self, sighted: Sighted) -> None:
        """Say that another machine came into sight, or went out of it."""
        at = time.monotonic() - self._began
        status = sighted.status
        word = paint(f"{status.state:<9}", "red" if status.state == "blind" else "green", self._out)
        self.say(f"{at:7.2f} s  {word} machine {sighted.machine}  {status.reason}".rstrip())

    def show_account(self, account: Account, seconds: float) -> None:
        """Print the closing account on stdout: it adds up to what is declared."""
        self._clear_status_line()
        self._is_live = False
        for name, reason in account.not_ready.items():
            if account.blocked_by.get(name) in account.not_ready:
                continue  # told with the one it hangs on
            note = " (not required)" if name in account.optional else ""
            print(f"{paint('not ready', 'red')}  {name}{note}: {reason}")
            for said in account.last_lines.get(name, ()):
                print(paint(f"  | {said}", "dim"))
            if blocked := [each for each, root in account.blocked_by.items() if root == name]:
                print(paint(_wrapped(f"  blocks {len(blocked)}: ", blocked), "dim"))
        for reason, names in _by_reason(account.left_out).items():
            print(f"left out   {len(names)} {reason}" + (f": {', '.join(names)}" if len(names) <= 8 else ""))
        extra = [f"{len(account.degraded)} degraded"] if account.degraded else []
        extra += [f"{len(account.adopted)} ran already"] if account.adopted else []
        extra += ["interrupted"] if account.interrupted else []
        line = (
            f"{len(account.ready)} ready + {len(account.not_ready)} not ready + "
            f"{len(account.left_out)} left out = {account.declared} declared, in {seconds:.2f} s"
        )
        colour = "green" if not account.not_ready else "red"
        print(paint(line, colour) + (f" ({', '.join(extra)})" if extra else ""))
        if account.critical_path:
            chain = " -> ".join(f"{step.agent} {step.ready:.2f}" for step in account.critical_path)
            print(f"critical path {account.critical_path_seconds:.2f} s: {chain}")
        if any(reason.startswith("on machine `") for reason in account.left_out.values()):
            words = "`argosy keys make` and `argosy serve` there bring the other machines in"
            print(f"{paint('hint:', 'cyan')} {words}")
        if account.hub:
            print(f"{paint('warning:', 'yellow')} the hub does not run: {account.hub}")
        for name, reason in list(account.not_ready.items())[:1]:
            print(f"{paint('hint:', 'cyan')} {_hint(name, reason)}")
        sys.stdout.flush()

    def show_stopped(self, stopped: Stopped) -> None:
        """Print how a stop ended."""
        for machine, why in stopped.unreached.items():
            self.say(f"not told: machine {machine}: {why}")
        killed = f", {len(stopped.killed)} of them killed" if stopped.killed else ""
        self.say(f"{len(stopped.stopped)} stopped{killed} in {stopped.seconds:.2f} s")

    def _say_what_is_waited_for(self) -> None:
        now = time.monotonic()
        waited = [
            f"{name} ({self._plights.get(name) or state.value} for {now - self._since[name]:.0f} s)"
            for name, state in self._states.items()
            if state in (State.STARTING, State.STOPPING, State.RESTART_PENDING, State.FAILING)
        ]
        if waited:
            more = f" and {len(waited) - 5} more" if len(waited) > 5 else ""
            self.say(f"{now - self._began:7.2f} s  waiting for {', '.join(waited[:5])}{more}")

    def _draw_status_line(self) -> None:
        if not self._is_live:
            return
        counts: dict[str, int] = {}
        for state in self._states.values():
            counts[state.value] = counts.get(state.value, 0) + 1
        text = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        width = shutil.get_terminal_size().columns - 1
        self._out.write("\r\033[K" + text[:width])
        self._out.flush()
        self._has_status_line = bool(text)

    def _clear_status_line(self) -> None:
        if self._has_status_line:
            self._out.write("\r\033[K")
            self._has_status_line = False


def _hint(name: str, reason: str) -> str:
    """Return what to do about an agent that is not ready."""
    if reason.startswith("machine `"):
        return "start the supervisor there; the reason says how"
    if "is missing" in reason:
        return "`argosy check` tells all that is missing, with its place"
    if "held by pid" in reason:
        return "end that process, or give the agent another port"
    return f"`argosy logs {name} -n 40`"


def _wrapped(head: str, names: list[str]) -> str:
    """Return names in lines that fit the terminal."""
    width = shutil.get_terminal_size().columns
    return textwrap.fill(
        head + ", ".join(names), width, subsequent_indent=" " * len(head), break_on_hyphens=False
    )


def _by_reason(left_out: dict[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    return reasons
