"""The one thread that answers for an old agent while user code holds the main thread.

It turns the ROUTERs of the declared ports, the notify socket and the topics, on the same parts
as a new agent's loop. It never runs user code, so nothing that an agent does can silence it; and
it says nothing of its own accord: what it answers is where the main thread is.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from argosy.agent.compat.arbiter import exempt
from argosy.agent.compat.bell import Bell
from argosy.agent.compat.desk import read_old_letter
from argosy.agent.door import Door
from argosy.agent.notify import Notifier
from argosy.agent.settings import Settings
from argosy.wire.callee import Callee
from argosy.wire.frame import new_incarnation
from argosy.wire.inquiry import Inquiry
from argosy.wire.reactor import BlockingReactor, Timer
from argosy.wire.topic import Publisher

ANSWER_S: Final = 5.0

_log = logging.getLogger("argosy.agent")


class Responder:
    """A thread with a reactor; desks by the port or path they serve.

    deliver: gets each request with the key of its desk, in the responder's thread.
    """

    def __init__(self, settings: Settings, deliver: Callable[[str, Inquiry], None]) -> None:
        self.name = settings.name
        self.notifier = Notifier(settings.notify, settings.watchdog_s)
        self._settings = settings
        self._deliver = deliver
        self._acts: deque[Callable[[], object]] = deque()
        self._bell = Bell()
        self._reactor = BlockingReactor()
        self._door = Door(settings, self._reactor)
        self._desks: dict[str, Callee] = {}
        self._closed_counts: dict[str, int] = {}
        self.port_of_topics = 0
        self._word = "starting"
        self._is_open = False
        self._is_over = False
        self._thread = threading.Thread(target=self._turn, name="argosy-responder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    # -- from any thread ---------------------------------------------------------------------

    def post(self, act: Callable[[], object]) -> None:
        """Run `act` in the responder's thread, soon; dropped after the end."""
        if not self._is_over:
            self._acts.append(act)
            self._bell.ring()

    def call(self, act: Callable[[], Any]) -> Any:
        """Run `act` in the responder's thread, wait, and return its result or raise its error.

        Raises TimeoutError: the thread has ended.
        """
        if threading.current_thread() is self._thread:
            return act()
        done = threading.Event()
        result: list[Any] = [None, None]

        def run() -> None:
            try:
                result[0] = act()
            except Exception as error:
                result[1] = error
            done.set()

        self.post(run)
        if not done.wait(ANSWER_S):
            raise TimeoutError("the responder has ended")
        if result[1]:
            raise result[1]
        return result[0]

    def end(self) -> None:
        """Close everything and end the thread; waits at most 1 s."""
        self.post(self._close)
        self._thread.join(1.0)

    # -- in its own thread -------------------------------------------------------------------

    def later(self, delay_s: float, act: Callable[[], object]) -> Timer:
        """Call `act` once, in so many seconds."""
        return self._reactor.later(delay_s, act)

    def bind(self, key: str, endpoints: Sequence[str]) -> None:
        """Answer on these endpoints; raises RefusedError that names one that cannot be bound."""
        desk = Callee(self.name, self._reactor, lambda inquiry: self._deliver(key, inquiry), read_old_letter)
        try:
            self._door.bind(desk, endpoints)
        except Exception:
            desk.close()
            raise
        self._desks[key] = desk
        if self._is_open:
            desk.open()
            desk.tell(self._word)

    def unbind(self, key: str, refuse: Callable[[], object] | None = None) -> bool:
        """Close a desk; false when there is none. refuse: answers what has arrived there."""
        desk = self._desks.pop(key, None)
        if desk is None:
            return False
        if refuse:
            desk.take_in()
            refuse()
        for name, count in desk.statistics().items():
            self._closed_counts[name] = self._closed_counts.get(name, 0) + count
        desk.close()
        return True

    def bind_topics(self) -> None:
        """Publish where the fleet has a place for it; the agent's own endpoint has made the folder."""
        self.port_of_topics = self._door.bind_topics(self._publisher)
        self._beacon()

    def has(self, key: str) -> bool:
        """Tell whether a desk is open."""
        return key in self._desks

    def open(self) -> None:
        """Welcome argosy's callers."""
        self._is_open = True
        for desk in self._desks.values():
            desk.open()
            desk.tell(self._word)

    def tell(self, word: str) -> None:
        """Let every message to argosy's callers say how the agent is."""
        self._word = word
        for desk in self._desks.values():
            desk.tell(word)

    def refuse_new(self) -> None:
        """Tell argosy's callers to wait for the next incarnation."""
        for desk in self._desks.values():
            desk.refuse_new()

    def publish(self, topic: str, value: object) -> None:
        """Publish to whoever subscribes."""
        try:
            self._publisher.publish(topic, value)
        except TypeError:
            _log.exception("`%s` publishes what has no encoding", self.name)

    def statistics(self) -> dict[str, int]:
        """Return the sum of its desks' counts."""
        total = {**self._closed_counts, "in_flight": 0, "callers": 0}
        for desk in self._desks.values():
            for name, count in desk.statistics().items():
                total[name] = total.get(name, 0) + count
        return {"handled": 0, "failed": 0, **total}

    def _turn(self) -> None:
        with exempt():
            self._reactor.watch(self._bell.fd, self._on_bell)
            self._publisher = Publisher(self.name, new_incarnation(), self._reactor)
            while not self._is_over:
                self._turn_once()

    def _turn_once(self) -> None:
        """Turn until the end, or until something failed that must not silence the agent."""
        try:
            self._reactor.run_until(lambda: self._is_over)
        except Exception:
            _log.exception("the responder of `%s` failed, and goes on", self.name)

    def _on_bell(self) -> None:
        self._bell.silence()
        while self._acts and not self._is_over:
            self._acts.popleft()()

    def _beacon(self) -> None:
        self._publisher.beacon()
        self.later(self.notifier.beat_s, self._beacon)

    def _close(self) -> None:
        for key in list(self._desks):
            self.unbind(key)
        self._publisher.close()
        self._door.close()
        self.notifier.close()
        self._is_over = True
