"""How an old agent stands: its health document, and what its supervisor is told.

All of it happens in the responder's thread. The word is that of the main thread's place; only
while that is inside the work loop, the agent's own payload is added and may make it worse.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from argosy.agent.compat.responder import Responder
from argosy.agent.compat.say import Speaker
from argosy.agent.compat.work import SETTLE_S, Stage, Verdict, Work
from argosy.agent.health import Figures, Health, Status, normal_status, payload, with_absent

LOOK_S: Final = 0.25  # while the main thread is between its constructor and its work loop

_ENDS: Final = frozenset((Status.STOPPING, Status.FAILING))


class Standing:
    """One agent's health, told to whoever asks and to the notify socket.

    moves: binds that went elsewhere, reported with the health, as are guests: other agents of this process.
    settled: called once, a while after
    the agent has become ready. leave: called once, when the main thread has left its work.
    edges: tells how those are that the agent needs and wants.
    """

    def __init__(
        self,
        work: Work,
        speaker: Speaker,
        responder: Responder,
        moves: Mapping[str, str],
        guests: Mapping[str, None],
        settled: Callable[[], object],
        leave: Callable[[], object],
        edges: Callable[[], dict[str, dict[str, str]]],
    ) -> None:
        self._work = work
        self._speaker = speaker
        self._responder = responder
        self._moves = moves
        self._guests = guests
        self._settled = settled
        self._leave = leave
        self._edges = edges
        self._status = Status.STARTING
        self._since = time.time()
        self._born_s = self._beaten_s = time.monotonic()
        self._figures = Figures()
        self._is_open = False
        self.is_leaving = False

    def when_known(self, answer: Callable[[dict[str, Any]], object]) -> None:
        """Call `answer` with the health document, at once or as soon as the agent's payload is there."""
        if self._work.verdict().status is Status.OK:
            self._speaker.ask(lambda: answer(self.document()))
        else:
            answer(self.document())

    def document(self) -> dict[str, Any]:
        """Return the standard answer."""
        health = self._health(self._work.verdict())
        self._figures.lag_s = self._work.lag_s()
        counts = self._responder.statistics()
        counts["in_flight"] = max(0, counts["in_flight"] - 1)  # the question itself
        automatic = self._figures.facts(counts)
        uptime_s = time.monotonic() - self._born_s
        return payload(self._responder.name, health, self._since, uptime_s, automatic, self._edges())

    def _health(self, verdict: Verdict) -> Health:
        """Return the agent's health, and keep the time of its last change."""
        is_ok = verdict.status is Status.OK
        health = with_absent(self._own_health()) if is_ok else Health(verdict.status, verdict.reason)
        noted = {"moved_binds": dict(self._moves), "other_agents": list(self._guests)}
        if reported := {key: value for key, value in noted.items() if value}:
            health = msgspec.structs.replace(health, facts={**health.facts, **reported})
        status = normal_status(health.status)
        if status != self._status:
            self._status, self._since = status, time.time()
            self._responder.tell(status.value)
        return health

    def _own_health(self) -> Health:
        said, trouble = self._speaker.said, self._work.trouble()
        if said is None:
            return Health(Status.DEGRADED if trouble else Status.OK, trouble)
        facts = {**said.facts, "payload_age": round(time.monotonic() - said.at_s, 3)}
        if said.error:
            return Health(Status.FAILING, said.error, facts)
        word = facts.get("status", Status.OK)
        if trouble and normal_status(word) is Status.OK:
            word = Status.DEGRADED
        return Health(word, trouble or str(facts.get("reason", "")), facts)

    def on_beat(self) -> None:
        """Tell the supervisor, now and with every beat from now on."""
        if self._work.verdict().status is Status.OK:
            self._speaker.refresh()
        self.tell()
        self._beaten_s = time.monotonic()
        self._responder.later(self._responder.notifier.beat_s, self.on_beat)

    def tell(self) -> None:
        """Tell the supervisor how the agent stands, and act on a step of its main thread."""
        verdict = self._work.verdict()
        health = self._health(verdict)
        if verdict.status in _ENDS:
            self._tell_end(verdict.status, health.reason)
            return
        is_ready = verdict.status is Status.OK
        if is_ready and not self._is_open:
            self._is_open = True
            self._responder.open()
            self._responder.later(SETTLE_S, self._settled)
        self._tell_life(is_ready, health)
        if self._work.stage is Stage.CONSTRUCTED:
            self._responder.later(LOOK_S, self._look)

    def _tell_life(self, is_ready: bool, health: Health) -> None:
        """Repeat the state; the watchdog is fed only when the work loop has turned since the last beat."""
        word = normal_status(health.status).value
        if not is_ready or self._work.has_turned_since(self._beaten_s):
            self._responder.notifier.beat(ready=is_ready, health=word, text=health.reason)
        else:
            self._responder.notifier.say(f"READY=1\nX_ARGOSY_HEALTH={word}".encode())

    def _look(self) -> None:
        """Look again at a main thread that is between its constructor and its work loop."""
        if not self._is_open and not self.is_leaving:
            self.tell()

    def _tell_end(self, status: Status, reason: str) -> None:
        """The main thread has left: whoever waits is told so, and the supervisor with every beat."""
        notifier, text = self._responder.notifier, reason.replace("\n", " ")
        if not self.is_leaving:
            self.is_leaving = True
            self._responder.refuse_new()
            self._leave()
            notifier.stopping(text)
        if status is Status.FAILING:
            notifier.say(f"X_ARGOSY_HEALTH=failing\nSTATUS={text}".encode())
