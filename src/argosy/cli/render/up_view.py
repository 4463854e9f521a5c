"""The output of `argosy up`: a line for each transition, a status line on a terminal, the summary."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING

from argosy.cli.console import paint, print_note
from argosy.engine.protocol.state_machine import State
from argosy.fault import Fault
from argosy.fleet.quantities import format_count

if TYPE_CHECKING:
    from argosy.engine.control.control_client import ControlClient
    from argosy.engine.protocol.messages import (
        AgentStateChanged,
        ApplyPreview,
        ApplySummary,
        ControlReply,
        MachineStatusChanged,
        Stopped,
    )
    from argosy.fleet.fleet_spec import Fleet

_WAIT_NOTICE_S = 5.0
_PORT_HELD_BY_FLEET = re.compile(r"held by pid \d+, agent `[^`]+` of fleet `([^`]+)`")
_STATE_LABELS = {
    State.READY: ("ready", "green"),
    State.DEGRADED: ("degraded", "yellow"),
    State.FAILING: ("failing", "red"),
    State.RESTART_PENDING: ("ended", "yellow"),
    State.GIVEN_UP: ("given up", "red"),
    State.BLOCKED: ("blocked", "red"),
    State.EXITED: ("exited", "dim"),
}


class UpView:
    """Writes progress to stderr, so that stdout has only the summary."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._stream = sys.stderr
        self._is_live = not is_quiet and self._stream.isatty()
        self._started_at = time.monotonic()
        self._states: dict[str, State] = {}
        self._since: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self._start_reasons: dict[str, str] = {}  # what each starting agent waits for
        self._has_status_line = False

    def next_message(self, client: ControlClient) -> ControlReply:
        """Return the next message; after 5 s without one, print what is being waited for."""
        while True:
            try:
                return client.receive(_WAIT_NOTICE_S)
            except TimeoutError:
                client.raise_if_stopped()
                self._print_waiting()

    def print_line(self, text: str) -> None:
        """Print one line, above the status line."""
        if self._is_quiet:
            return
        self._clear_status_line()
        self._stream.write(text + "\n")
        self._draw_status_line()
        self._stream.flush()

    def warn(self, fault: Fault) -> None:
        """Print a warning on stderr, also with `is_quiet`."""
        print_note("warning", f"{fault.where}: {fault.message}", stream=self._stream)

    def show_difference(self, difference: ApplyPreview) -> None:
        """Print what the apply will do."""
        changes = {"start": difference.start, "restart": difference.restart, "stop": difference.stop}
        parts = [f"{len(names)} to {action}" for action, names in changes.items() if names]
        if difference.adopted:
            parts.append(f"{len(difference.adopted)} run already")
        declared = f"{format_count(difference.declared, 'agent')} declared"
        scope = f"on {difference.machine}" if difference.machine else declared
        self.print_line(f"{scope}: " + (", ".join(parts) or "nothing to do"))
        for action in ("restart", "stop"):
            if changes[action]:
                self.print_line(f"  {action}: {', '.join(changes[action])}")

    def show_change(self, change: AgentStateChanged) -> None:
        """Print a transition worth a line; count the others in the status line."""
        before = self._states.get(change.agent)
        self._states[change.agent] = change.state
        if change.state is not before:
            self._since[change.agent] = time.monotonic()
        self._start_reasons[change.agent] = change.reason if change.state is State.STARTING else ""
        label = _STATE_LABELS.get(change.state)
        if label is None or change.state is before or change.state is State.EXITED:
            self._draw_status_line()
            return
        if change.reason and change.reason == self._reasons.get(change.agent):
            return  # the same reason again
        self._reasons[change.agent] = change.reason
        state_label, colour = label
        elapsed = time.monotonic() - self._started_at
        reason = f"  {change.reason}" if change.reason and change.state is not State.READY else ""
        self.print_line(
            f"{elapsed:7.2f} s  {paint(f'{state_label:<9}', colour, self._stream)} {change.agent}{reason}"
        )

    def show_machine(self, change: MachineStatusChanged) -> None:
        """Print that another machine became reachable or unreachable."""
        elapsed = time.monotonic() - self._started_at
        status = change.status
        state_label = paint(f"{status.state:<9}", "red" if status.state == "blind" else "green", self._stream)
        self.print_line(f"{elapsed:7.2f} s  {state_label} machine {change.machine}  {status.reason}".rstrip())

    def show_summary(self, summary: ApplySummary, seconds: float, fleet: Fleet) -> None:
        """Print the summary on stdout; its counts add up to the declared agents."""
        self._clear_status_line()
        self._is_live = False
        if summary.interrupted:
            print(f"stopped by `argosy down`: {', '.join(summary.not_ready) or 'all that was ready'}")
        else:
            _show_not_ready(summary)
        by_reason: dict[str, list[str]] = {}
        for name, reason in summary.left_out.items():
            by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            print(f"left out   {len(names)} {reason}" + (f": {', '.join(names)}" if len(names) <= 8 else ""))
        extra = [f"{len(summary.degraded)} degraded"] if summary.degraded else []
        extra += [f"{len(summary.adopted)} ran already"] if summary.adopted else []
        extra += ["interrupted"] if summary.interrupted else []
        line = (
            f"{len(summary.ready)} ready + {len(summary.not_ready)} not ready + "
            f"{len(summary.left_out)} left out = {summary.declared} declared, in {seconds:.2f} s"
        )
        colour = "green" if not summary.not_ready else "red"
        print(paint(line, colour) + (f" ({', '.join(extra)})" if extra else ""))
        if summary.critical_path:
            chain = " -> ".join(f"{step.agent} {step.ready:.2f}" for step in summary.critical_path)
            print(f"critical path {summary.critical_path_seconds:.2f} s: {chain}")
        if any(reason.startswith("on machine `") for reason in summary.left_out.values()):
            hint = "`argosy keys make`, and `argosy serve` on the other machines, connect them"
            print_note("hint", hint, stream=sys.stdout)
        if summary.hub:
            print_note("warning", f"the hub does not run: {summary.hub}", stream=sys.stdout)
        for name, reason in list(summary.not_ready.items())[: 0 if summary.interrupted else 1]:
            print_note("hint", _hint(name, reason, fleet), stream=sys.stdout)
        sys.stdout.flush()

    def show_stopped(self, stopped: Stopped, *, is_partial: bool) -> None:
        """Print the result of a stop. is_partial: only the agents started by this command were stopped."""
        for machine, why in stopped.unreachable.items():
            self.print_line(f"not stopped: machine {machine}: {why}")
        killed = f", {len(stopped.killed)} of them killed" if stopped.killed else ""
        self.print_line(f"{len(stopped.stopped)} stopped{killed} in {stopped.seconds:.2f} s")
        if is_partial and stopped.stopped:
            self.print_line(f"stopped now: {', '.join(stopped.stopped)}; `argosy up -d` starts them again")

    def _print_waiting(self) -> None:
        now = time.monotonic()
        waiting = [
            f"{name} ({self._start_reasons.get(name) or state.value} for {now - self._since[name]:.0f} s)"
            for name, state in self._states.items()
            if state in (State.STARTING, State.STOPPING, State.RESTART_PENDING, State.FAILING)
        ]
        if waiting:
            more = f" and {len(waiting) - 5} more" if len(waiting) > 5 else ""
            self.print_line(f"{now - self._started_at:7.2f} s  waiting for {', '.join(waiting[:5])}{more}")

    def _draw_status_line(self) -> None:
        if not self._is_live:
            return
        counts: dict[str, int] = {}
        for state in self._states.values():
            counts[state.value] = counts.get(state.value, 0) + 1
        text = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r\033[K" + text[:width])
        self._stream.flush()
        self._has_status_line = bool(text)

    def _clear_status_line(self) -> None:
        if self._has_status_line:
            self._stream.write("\r\033[K")
            self._has_status_line = False


def _show_not_ready(summary: ApplySummary) -> None:
    for name, reason in summary.not_ready.items():
        if summary.blocked_by.get(name) in summary.not_ready:
            continue  # listed with the agent that blocks it
        note = " (not required)" if name in summary.optional else ""
        print(f"{paint('not ready', 'red')}  {name}{note}: {reason}")
        for log_line in summary.last_lines.get(name, ()):
            print(paint(f"  | {log_line}", "dim"))
        if blocked := [each for each, root in summary.blocked_by.items() if root == name]:
            print(paint(_wrap_names(f"  blocks {len(blocked)}: ", blocked), "dim"))


def _hint(name: str, reason: str, fleet: Fleet) -> str:
    """Return the next step for an agent that is not ready."""
    if reason.startswith("cannot start: "):
        return "fix it, then `argosy restart --changed`, or `argosy up` after a change of the fleet file"
    if "ModuleNotFoundError" in reason:
        from argosy.engine.explain.install_hint import hint_for_exit  # noqa: PLC0415 - rarely needed

        root = os.path.dirname(fleet.path)
        if offered := hint_for_exit(reason, fleet.agents[name], root, sys.executable):
            return offered
    if reason.startswith("machine `"):
        return "start the supervisor there; the reason says how"
    if "is missing" in reason:
        return "`argosy check` lists everything that is missing, with its location"
    if "held by pid" in reason:
        if owner := _PORT_HELD_BY_FLEET.search(reason):
            return f"`argosy down {owner[1]}` stops that fleet; or give the agent another port"
        return "end that process, or give the agent another port"
    return f"`argosy logs {name} -n 40`"


def _wrap_names(head: str, names: list[str]) -> str:
    """Return the names wrapped to the width of the terminal."""
    width = shutil.get_terminal_size().columns
    return textwrap.fill(
        head + ", ".join(names), width, subsequent_indent=" " * len(head), break_on_hyphens=False
    )
