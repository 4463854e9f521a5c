"""Computes a BaseAgent's health payload, apart from the thread that answers.

A payload may sample a device for two seconds, wait for a lock, or raise. It is computed in a
thread that lives as long as the computation, one at a time; a caller gets the new value if
it comes at once, else the last one with its age.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

MAX_WAIT_S: Final = 0.1  # probes give up after 0.2 s
REFRESH_S: Final = 10.0  # for a payload that nobody asks for
MAX_DUTY: Final = 20  # refreshes take at most 1/20 of the time

CallLater = Callable[[float, Callable[[], object]], object]


class HealthSample(msgspec.Struct, frozen=True):
    """One payload. error: what it raised; then `facts` are those of the last that did not raise."""

    facts: dict[str, Any]
    measured_s: float
    duration_s: float
    error: str = ""


class HealthWorker:
    """Computes one agent's payload; every method but the computation is for the responder's thread.

    compute: the user's code. post: runs a callback in the responder's thread. call_later: a timer there.
    """

    def __init__(
        self, compute: Callable[[], Any], post: Callable[[Any], object], call_later: CallLater
    ) -> None:
        self._compute = compute
        self._post = post
        self._call_later = call_later
        self._is_computing = False
        self._waiting: list[Callable[[], object]] = []
        self.latest: HealthSample | None = None

    def request(self, on_done: Callable[[], object]) -> None:
        """Call `on_done` when there is a new payload, or after MAX_WAIT_S without one."""
        latest = self.latest
        if not self._is_computing and latest and time.monotonic() - latest.measured_s < latest.duration_s:
            on_done()  # a slow payload is not computed again before as much time has passed as it took
            return
        self._waiting.append(on_done)
        self._call_later(MAX_WAIT_S, lambda: self._on_timeout(on_done))
        self._start()

    def refresh(self) -> None:
        """Compute a payload that nobody waits for, unless the last one is fresh or is slow."""
        latest = self.latest
        rest_s = max(REFRESH_S, MAX_DUTY * latest.duration_s) if latest else 0.0
        if not latest or time.monotonic() - latest.measured_s > rest_s:
            self._start()

    def _start(self) -> None:
        if not self._is_computing:
            self._is_computing = True
            threading.Thread(target=self._run, name="argosy-payload", daemon=True).start()

    def _run(self) -> None:
        started_s = time.monotonic()
        facts, error = self.latest.facts if self.latest else {}, ""
        try:
            facts = to_jsonable(self._compute())
        except Exception as raised:
            error = f"its health payload raised {type(raised).__name__}: {raised}"
        now_s = time.monotonic()
        sample = HealthSample(facts, now_s, now_s - started_s, error)
        self._post(lambda: self._on_sample(sample))

    def _on_sample(self, sample: HealthSample) -> None:
        self.latest = sample
        self._is_computing = False
        waiting, self._waiting = self._waiting, []
        for on_done in waiting:
            on_done()

    def _on_timeout(self, on_done: Callable[[], object]) -> None:
        if on_done in self._waiting:
            self._waiting.remove(on_done)
            on_done()


def to_jsonable(value: Any) -> dict[str, Any]:
    """Return a payload as JSON: unsupported values as text, a bare value under `payload`."""
    document = value if isinstance(value, dict) else {"payload": value}
    if isinstance(value, str | bool):
        document["status"] = value
    document_copy = msgspec.to_builtins(
        {str(key): each for key, each in document.items()}, str_keys=True, enc_hook=_encode_hook
    )
    assert isinstance(document_copy, dict)
    return document_copy


def _encode_hook(value: Any) -> Any:
    listed = getattr(value, "tolist", None)
    return listed() if callable(listed) else str(value)
