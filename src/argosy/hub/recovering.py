"""Carries out recoveries: each attempt is on the disk before it is made, and its outcome after."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from argosy.fault import ArgosyError
from argosy.fleet.units import duration_s
from argosy.hub.keeper import FullError, Keeper
from argosy.hub.record import Event
from argosy.hub.recovery import Attempt, Recovery, Rule

if TYPE_CHECKING:
    from argosy.fleet import spec
    from argosy.hub.acts import Acts
    from argosy.hub.alerting import Alerting

COMMAND_WITHIN_S: Final = 300.0
_SAID_BYTES: Final = 2000  # of a command's output, in the record

_log = logging.getLogger("argosy.hub")


class Recovering:
    """One machine's recoveries. now_s: returns epoch seconds by a clock that goes on evenly."""

    def __init__(self, keeper: Keeper, acts: Acts, alerting: Alerting, now_s: Callable[[], float]) -> None:
        self._keeper = keeper
        self._acts = acts
        self._alerting = alerting
        self._now_s = now_s
        self._recovery = Recovery()
        self._folder = ""
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by alert
        self._rests_until_s: dict[str, float] = {}  # by alert, after what was tried

    def take(self, asked_for: Sequence[spec.Recovery], folder: str) -> None:
        """Go by these rules from now on. folder: where commands run."""
        self._recovery.rules = [_rule(number, each) for number, each in enumerate(asked_for)]
        self._folder = folder

    def remember(self, event: Event) -> None:
        """Count an attempt of an earlier life of this hub."""
        if event.body.get("outcome") == "begun":
            at_s = min(event.time_ms / 1000, self._now_s())  # ahead: its clock was set back
            self._recovery.remember(event.body["rule"], event.subject, at_s)

    def within_s(self) -> float:
        """Return how far back attempts count."""
        return max((rule.within_s for rule in self._recovery.rules), default=0.0)

    def look(self, open_: Iterable[Mapping[str, Any]], now_s: float) -> None:
        """Begin what is due; nothing about agents that somebody works on, nor while something is at it, nor
        while nothing can be recorded.
        """
        if self._keeper.failure:
            return
        alerts = {str(alert["key"]): alert for alert in open_}
        covered = self._alerting.quiet.covered((str(each["subject"]) for each in alerts.values()), now_s)
        due = [
            alert
            for key, alert in alerts.items()
            if key not in self._tasks
            and str(alert["subject"]) not in covered
            and self._alerting.holds(key)
            and now_s >= self._rests_until_s.get(key, 0.0)
        ]
        for attempt in self._recovery.attempts(due, now_s):
            task = asyncio.ensure_future(self._make(attempt, alerts[attempt.key]))
            self._tasks[attempt.key] = task
            task.add_done_callback(functools.partial(self._on_made, attempt))

    def _on_made(self, attempt: Attempt, _: asyncio.Task[None]) -> None:
        """Give it the time to show, also where it took long."""
        del self._tasks[attempt.key]
        self._rests_until_s[attempt.key] = self._now_s() + attempt.rule.pause_s

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way."""
        return not self._tasks

    def cancel(self) -> None:
        """Leave what is under way."""
        for task in self._tasks.values():
            task.cancel()

    async def _make(self, attempt: Attempt, alert: Mapping[str, Any]) -> None:
        if attempt.is_last_word:
            text = f"{attempt.number} attempts in {attempt.rule.within_s:.0f} s are used up"
            _log.warning("nothing more is tried for `%s`: %s", attempt.agent, text)
            await self._note(attempt, "budget spent", text)
            return
        try:
            await self._keeper.keep_first([_event(attempt, "begun", str(alert.get("text", "")))])
        except FullError:
            return  # what cannot be counted is not done
        try:
            outcome, text = await self._do(attempt, alert)
        except (ArgosyError, OSError) as error:
            outcome, text = "failed", str(error)
        _log.warning("recovery of `%s` (%s): %s %s", attempt.agent, attempt.rule.do, outcome, text)
        await self._note(attempt, outcome, text)

    async def _do(self, attempt: Attempt, alert: Mapping[str, Any]) -> tuple[str, str]:
        """Return how it went, and what there is to say."""
        if attempt.rule.do == "run":
            return await _run(attempt.rule.run, self._folder, attempt.agent, alert)
        agents = [attempt.agent]
        if attempt.rule.do == "restart-dependents":
            agents = self._alerting.causes.with_dependents(agents)
        done = await self._acts.restart(agents, "recovery")
        if done["not_ready"]:
            return "failed", "; ".join(f"{name}: {why}" for name, why in done["not_ready"].items())
        return "done", f"{', '.join(done['restarted'])} ready again after {done['seconds']:.2f} s"

    async def _note(self, attempt: Attempt, outcome: str, text: str) -> None:
        with contextlib.suppress(FullError):  # it is done all the same
            await self._keeper.keep_soon([_event(attempt, outcome, text)])


def _event(attempt: Attempt, outcome: str, text: str) -> Event:
    body = {**attempt.body(), "outcome": outcome, "text": text}
    return Event(int(time.time() * 1000), "recovery", attempt.agent, body)


async def _run(words: Sequence[str], folder: str, agent: str, alert: Mapping[str, Any]) -> tuple[str, str]:
    """Run a command in a group of its own, which is ended with it when its time is over."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "ARGOSY_AGENT": agent},
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.wait_for(
            process.communicate(msgspec.json.encode(dict(alert))), COMMAND_WITHIN_S
        )
    except (TimeoutError, asyncio.CancelledError) as error:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        return "failed", f"ended after {COMMAND_WITHIN_S:.0f} s"
    text = said[-_SAID_BYTES:].decode("utf-8", "replace").strip()
    return ("done" if process.returncode == 0 else "failed"), text or f"exit code {process.returncode}"


def _rule(number: int, asked: spec.Recovery) -> Rule:
    return Rule(
        number,
        asked.do,
        tuple(asked.run),
        frozenset(asked.agents),
        asked.figure,
        asked.times,
        duration_s(asked.within),
        duration_s(asked.pause),
    )
