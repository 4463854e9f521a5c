"""Recoveries of the fleet file: which attempts to make for the active alerts within a budget, and their runs.

Each agent has a budget for each rule. An attempt counts when it starts, whatever its outcome, also one of an
earlier hub process, so that no recovery repeats without bound. Each is persisted before it starts, and its
outcome afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from argosy.fault import ArgosyError
from argosy.fleet.quantities import parse_duration_s
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import StoreFullError, StoreWriter

if TYPE_CHECKING:
    from argosy.fleet import fleet_spec
    from argosy.hub.alerts.actions import ActionExecutor
    from argosy.hub.alerts.evaluator import AlertEvaluator

COMMAND_TIMEOUT_S: Final = 300.0
_MAX_OUTPUT_BYTES: Final = 2000  # of a command's output, in the record

_log = logging.getLogger("argosy.hub")


class RecoveryRule(msgspec.Struct, frozen=True):
    """One entry of `hub: {recovery: …}`, with times in seconds. index: its position there."""

    index: int
    action: Literal["restart", "restart-dependents", "run"]
    run: tuple[str, ...] = ()
    agents: frozenset[str] = frozenset()
    metric: str | None = None
    max_attempts: int = 3
    within_s: float = 3600.0
    pause_s: float = 30.0

    def matches(self, alert: Mapping[str, Any]) -> bool:
        """Return whether the rule applies to an alert."""
        category = "unhealthy" if self.metric is None else "threshold"
        is_of_metric = alert.get("category") == category and self.metric in (None, alert.get("metric"))
        return is_of_metric and (not self.agents or alert.get("subject") in self.agents)


class RecoveryAttempt(msgspec.Struct, frozen=True):
    """An attempt to make now. key: of the alert. number: its number within the rule's window, from 1.

    is_exhausted: the budget is used up, so nothing is done.
    """

    rule: RecoveryRule
    agent: str
    key: str
    number: int
    is_exhausted: bool = False

    def event_body(self) -> dict[str, Any]:
        """Return the body of a `recovery` event."""
        return {
            "action": self.rule.action,
            "rule": self.rule.index,
            "alert": self.key,
            "attempt": self.number,
            "max_attempts": self.rule.max_attempts,
        }


class RecoveryPolicy:
    """The rules of one machine and the attempts made so far."""

    def __init__(self, rules: Sequence[RecoveryRule] = ()) -> None:
        self.rules = rules
        self._attempt_times: dict[tuple[int, str], list[float]] = {}
        self._exhausted: set[tuple[int, str]] = set()  # rule and agent whose exhaustion was reported

    def count_attempt(self, rule: int, agent: str, at_s: float) -> None:
        """Count an attempt."""
        self._attempt_times.setdefault((rule, agent), []).append(at_s)

    def next_attempts(
        self, active_alerts: Iterable[Mapping[str, Any]], now_s: float
    ) -> list[RecoveryAttempt]:
        """Return the attempts due for the active alerts; the first matching rule of an alert counts."""
        found = []
        for alert in active_alerts:
            rule = next((rule for rule in self.rules if rule.matches(alert)), None)
            if rule and (attempt := self._next_attempt(rule, alert["subject"], alert["key"], now_s)):
                found.append(attempt)
        return found

    def _next_attempt(self, rule: RecoveryRule, agent: str, key: str, now_s: float) -> RecoveryAttempt | None:
        budget_key = rule.index, agent
        attempt_times = self._attempt_times[budget_key] = [
            at for at in self._attempt_times.get(budget_key, ()) if at > now_s - rule.within_s
        ]
        if attempt_times and now_s < attempt_times[-1] + rule.pause_s:
            return None
        if len(attempt_times) < rule.max_attempts:
            self._exhausted.discard(budget_key)
            attempt_times.append(now_s)
            return RecoveryAttempt(rule, agent, key, len(attempt_times))
        if budget_key in self._exhausted:
            return None
        self._exhausted.add(budget_key)
        return RecoveryAttempt(rule, agent, key, len(attempt_times), is_exhausted=True)


class RecoveryExecutor:
    """One machine's recoveries. now_s: returns epoch seconds by a monotonic clock."""

    def __init__(
        self,
        writer: StoreWriter,
        action_executor: ActionExecutor,
        evaluator: AlertEvaluator,
        now_s: Callable[[], float],
    ) -> None:
        self._writer = writer
        self._action_executor = action_executor
        self._evaluator = evaluator
        self._now_s = now_s
        self._policy = RecoveryPolicy()
        self._working_dir = ""
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by alert
        self._paused_until_s: dict[str, float] = {}  # by alert, after an attempt

    def configure(self, specs: Sequence[fleet_spec.RecoverySpec], working_dir: str) -> None:
        """Use these rules. working_dir: where commands run."""
        self._policy.rules = [_make_rule(number, each) for number, each in enumerate(specs)]
        self._working_dir = working_dir

    def restore_attempt(self, event: HubEvent) -> None:
        """Count an attempt of an earlier hub process."""
        if event.body.get("outcome") == "started":
            at_s = min(event.time_ms / 1000, self._now_s())  # it may be ahead if the clock was set back
            self._policy.count_attempt(event.body["rule"], event.subject, at_s)

    def budget_window_s(self) -> float:
        """Return the longest budget window of the rules, in seconds."""
        return max((rule.within_s for rule in self._policy.rules), default=0.0)

    def start_due(self, active_alerts: Iterable[Mapping[str, Any]], now_s: float) -> None:
        """Start the attempts that are due.

        None starts for a silenced agent, while another attempt runs for the alert, or while the store cannot
        be written.
        """
        if self._writer.failure:
            return
        alerts = {str(alert["key"]): alert for alert in active_alerts}
        silenced = self._evaluator.silences.silenced_agents(
            (str(each["subject"]) for each in alerts.values()), now_s
        )
        due = [
            alert
            for key, alert in alerts.items()
            if key not in self._tasks
            and str(alert["subject"]) not in silenced
            and self._evaluator.is_active(key)
            and now_s >= self._paused_until_s.get(key, 0.0)
        ]
        for attempt in self._policy.next_attempts(due, now_s):
            task = asyncio.ensure_future(self._attempt(attempt, alerts[attempt.key]))
            self._tasks[attempt.key] = task
            task.add_done_callback(functools.partial(self._on_attempt_done, attempt))

    def _on_attempt_done(self, attempt: RecoveryAttempt, _: asyncio.Task[None]) -> None:
        """Start the pause after an attempt when it ends."""
        del self._tasks[attempt.key]
        self._paused_until_s[attempt.key] = self._now_s() + attempt.rule.pause_s

    @property
    def is_idle(self) -> bool:
        """Whether no attempt is running."""
        return not self._tasks

    def cancel(self) -> None:
        """Cancel the running attempts."""
        for task in self._tasks.values():
            task.cancel()

    async def _attempt(self, attempt: RecoveryAttempt, alert: Mapping[str, Any]) -> None:
        if attempt.is_exhausted:
            text = f"{attempt.number} attempts in {attempt.rule.within_s:.0f} s are used up"
            _log.warning("no more recovery of `%s`: %s", attempt.agent, text)
            await self._record(attempt, "exhausted", text)
            return
        try:
            await self._writer.append_or_raise(
                [_recovery_event(attempt, "started", str(alert.get("text", "")))]
            )
        except StoreFullError:
            return  # an attempt that cannot be counted is not made
        try:
            outcome, text = await self._execute(attempt, alert)
        except (ArgosyError, OSError) as error:
            outcome, text = "failed", str(error)
        _log.warning("recovery of `%s` (%s): %s %s", attempt.agent, attempt.rule.action, outcome, text)
        await self._record(attempt, outcome, text)

    async def _execute(self, attempt: RecoveryAttempt, alert: Mapping[str, Any]) -> tuple[str, str]:
        """Return the outcome and a text."""
        if attempt.rule.action == "run":
            return await _run_command(attempt.rule.run, self._working_dir, attempt.agent, alert)
        agents = [attempt.agent]
        if attempt.rule.action == "restart-dependents":
            agents = self._evaluator.causes.with_dependents(agents)
        result = await self._action_executor.restart(agents, "recovery")
        if result["not_ready"]:
            return "failed", "; ".join(f"{name}: {why}" for name, why in result["not_ready"].items())
        return "done", f"{', '.join(result['restarted'])} ready again after {result['seconds']:.2f} s"

    async def _record(self, attempt: RecoveryAttempt, outcome: str, text: str) -> None:
        with contextlib.suppress(StoreFullError):  # the attempt was made anyway
            await self._writer.append_soon([_recovery_event(attempt, outcome, text)])


def _recovery_event(attempt: RecoveryAttempt, outcome: str, text: str) -> HubEvent:
    body = {**attempt.event_body(), "outcome": outcome, "text": text}
    return HubEvent(int(time.time() * 1000), "recovery", attempt.agent, body)


async def _run_command(
    command: Sequence[str], working_dir: str, agent: str, alert: Mapping[str, Any]
) -> tuple[str, str]:
    """Run a command in its own process group, which is killed at the time-out."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=working_dir,
        env={**os.environ, "ARGOSY_AGENT": agent},
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(
            process.communicate(msgspec.json.encode(dict(alert))), COMMAND_TIMEOUT_S
        )
    except (TimeoutError, asyncio.CancelledError) as error:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        return "failed", f"killed after {COMMAND_TIMEOUT_S:.0f} s"
    text = output[-_MAX_OUTPUT_BYTES:].decode("utf-8", "replace").strip()
    return ("done" if process.returncode == 0 else "failed"), text or f"exit code {process.returncode}"


def _make_rule(index: int, recovery: fleet_spec.RecoverySpec) -> RecoveryRule:
    return RecoveryRule(
        index,
        recovery.do,
        tuple(recovery.run),
        frozenset(recovery.agents),
        recovery.metric,
        recovery.times,
        parse_duration_s(recovery.within),
        parse_duration_s(recovery.pause),
    )
