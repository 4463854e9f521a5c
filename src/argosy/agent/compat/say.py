"""An old agent's own health payload, computed apart from the thread that answers.

A payload may sample a device for two seconds, wait for a lock, or raise. It is computed in a
thread that lives as long as the computation, one at a time; whoever asks gets the new value if
it comes at once, else the last one, with its age.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

PATIENCE_S: Final = 0.1  # probes give up after 0.2 s
REFRESH_S: Final = 10.0  # a payload that nobody asks for
MOST_DUTY: Final = 20  # of its own accord it is asked at most 1/20 of the time

Later = Callable[[float, Callable[[], object]], object]


class Said(msgspec.Struct, frozen=True):
    """One payload. error: what it raised; then `facts` are those of the last that did not."""

    facts: dict[str, Any]
    at_s: float
    took_s: float
    error: str = ""


class Speaker:
    """Asks one agent for its payload; every method but the computation is for the responder's thread.

    compute: the user's code. post: runs an act in the responder's thread. later: a timer there.
    """

    def __init__(self, compute: Callable[[], Any], post: Callable[[Any], object], later: Later) -> None:
        self._compute = compute
        self._post = post
        self._later = later
        self._is_asked = False
        self._waiting: list[Callable[[], object]] = []
        self.said: Said | None = None

    def ask(self, answer: Callable[[], object]) -> None:
        """Call `answer` when there is a new payload, or after `PATIENCE_S` without one."""
        said = self.said
        if not self._is_asked and said and time.monotonic() - said.at_s < said.took_s:
            answer()  # a slow payload is not asked again before it has rested as long
            return
        self._waiting.append(answer)
        self._later(PATIENCE_S, lambda: self._give_up(answer))
        self._begin()

    def refresh(self) -> None:
        """Ask for a payload that nobody waits for, unless the last one is fresh or is slow."""
        said = self.said
        rest_s = max(REFRESH_S, MOST_DUTY * said.took_s) if said else 0.0
        if not said or time.monotonic() - said.at_s > rest_s:
            self._begin()

    def _begin(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            threading.Thread(target=self._run, name="argosy-payload", daemon=True).start()

    def _run(self) -> None:
        began_s = time.monotonic()
        facts, error = self.said.facts if self.said else {}, ""
        try:
            facts = plain(self._compute())
        except Exception as raised:
            error = f"its health payload raised {type(raised).__name__}: {raised}"
        now_s = time.monotonic()
        said = Said(facts, now_s, now_s - began_s, error)
        self._post(lambda: self._take(said))

    def _take(self, said: Said) -> None:
        self.said = said
        self._is_asked = False
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer()

    def _give_up(self, answer: Callable[[], object]) -> None:
        if answer in self._waiting:
            self._waiting.remove(answer)
            answer()


def plain(value: Any) -> dict[str, Any]:
    """Return a payload as JSON can say it: odd values as text, a bare value under `payload`."""
    document = value if isinstance(value, dict) else {"payload": value}
    if isinstance(value, str | bool):
        document["status"] = value
    made = msgspec.to_builtins(
        {str(key): each for key, each in document.items()}, str_keys=True, enc_hook=_as_text
    )
    assert isinstance(made, dict)
    return made


def _as_text(value: Any) -> Any:
    listed = getattr(value, "tolist", None)
    return listed() if callable(listed) else str(value)
