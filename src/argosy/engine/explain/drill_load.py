"""Sends requests to a fleet during a drill: each gets a reply or a named error in time, or is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from argosy.agent.request_dispatcher import METHODS_METHOD
from argosy.wire.client.sync_peer import SyncPeer, connect
from argosy.wire.errors import WireError

_DEADLINE_S = 2.0
_LATE_TOLERANCE_S = 0.5
_REQUEST_INTERVAL_S = 0.02
_PROBE_TIMEOUT_S = 1.0


class RequestCounts(msgspec.Struct):
    """Counts that add up: sent = answered + failed_named + lost. causes: named errors by class."""

    sent: int = 0
    answered: int = 0
    failed_named: int = 0
    lost: int = 0
    causes: dict[str, int] = {}


class DrillLoad:
    """Requests the health of agents, in one thread per agent, until it is stopped.

    address_book: of the fleet. agents: the targets; those that do not speak Argosy's protocol are skipped.
    """

    def __init__(self, address_book: Path, agents: Iterable[str]) -> None:
        self._address_book = address_book
        self._stop_event = threading.Event()
        self.counts = RequestCounts()
        self._lock = threading.Lock()
        self.targets = tuple(agent for agent in agents if self._answers_methods(agent))
        self._threads = [
            threading.Thread(target=self._send_requests, args=(agent,)) for agent in self.targets
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def stop(self) -> RequestCounts:
        """Stop sending, wait for pending replies, and return the counts."""
        self._stop_event.set()
        until_s = time.monotonic() + _DEADLINE_S + _LATE_TOLERANCE_S
        for thread in self._threads:
            thread.join(max(until_s - time.monotonic(), 0))
        with self._lock:
            counts = msgspec.structs.replace(self.counts, causes=dict(self.counts.causes))
        counts.lost += counts.sent - counts.answered - counts.failed_named - counts.lost
        return counts

    def _answers_methods(self, agent: str) -> bool:
        with connect(agent, timeout=_PROBE_TIMEOUT_S, book=self._address_book) as peer:
            try:
                peer.call(METHODS_METHOD)
            except WireError:
                return False
        return True

    def _send_requests(self, agent: str) -> None:
        with connect(agent, timeout=_DEADLINE_S, book=self._address_book) as peer:
            self._send_request(peer)  # at least one, however short the drill is
            while not self._stop_event.wait(_REQUEST_INTERVAL_S):
                self._send_request(peer)

    def _send_request(self, peer: SyncPeer) -> None:
        with self._lock:
            self.counts.sent += 1
        started = time.monotonic()
        cause = ""
        try:
            peer.call("health")
        except WireError as error:
            cause = type(error).__name__
        is_late = time.monotonic() - started > _DEADLINE_S + _LATE_TOLERANCE_S
        with self._lock:
            if is_late:
                self.counts.lost += 1
            elif cause:
                self.counts.failed_named += 1
                self.counts.causes[cause] = self.counts.causes.get(cause, 0) + 1
            else:
                self.counts.answered += 1
