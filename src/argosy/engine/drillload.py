"""Requests to a fleet while faults happen: each ends with a reply or a named error in time, or is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from argosy.agent.dispatch import METHODS
from argosy.wire.blocking import SyncPeer, connect
from argosy.wire.errors import WireError

_DEADLINE_S = 2.0
_LATE_S = 0.5
_PAUSE_S = 0.02
_ASKED_S = 1.0


class Requests(msgspec.Struct):
    """The account: sent = answered + failed_named + lost. causes: named errors by class."""

    sent: int = 0
    answered: int = 0
    failed_named: int = 0
    lost: int = 0
    causes: dict[str, int] = {}


class Load:
    """Asks agents for their health, from a thread for each, until it is ended.

    book: the address book of the fleet. agents: whom to ask; those that do not speak the wire are left out.
    """

    def __init__(self, book: Path, agents: Iterable[str]) -> None:
        self._book = book
        self._end = threading.Event()
        self.account = Requests()
        self._lock = threading.Lock()
        self.targets = tuple(agent for agent in agents if self._speaks(agent))
        self._threads = [threading.Thread(target=self._ask, args=(agent,)) for agent in self.targets]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def end(self) -> Requests:
        """Send no more, wait for what was sent, and return the account."""
        self._end.set()
        until_s = time.monotonic() + _DEADLINE_S + _LATE_S
        for thread in self._threads:
            thread.join(max(until_s - time.monotonic(), 0))
        with self._lock:
            account = msgspec.structs.replace(self.account, causes=dict(self.account.causes))
        account.lost += account.sent - account.answered - account.failed_named - account.lost
        return account

    def _speaks(self, agent: str) -> bool:
        with connect(agent, timeout=_ASKED_S, book=self._book) as peer:
            try:
                peer.call(METHODS)
            except WireError:
                return False
        return True

    def _ask(self, agent: str) -> None:
        with connect(agent, timeout=_DEADLINE_S, book=self._book) as peer:
            self._ask_once(peer)  # also of a drill that is over at once
            while not self._end.wait(_PAUSE_S):
                self._ask_once(peer)

    def _ask_once(self, peer: SyncPeer) -> None:
        with self._lock:
            self.account.sent += 1
        began = time.monotonic()
        cause = ""
        try:
            peer.call("health")
        except WireError as error:
            cause = type(error).__name__
        is_late = time.monotonic() - began > _DEADLINE_S + _LATE_S
        with self._lock:
            if is_late:
                self.account.lost += 1
            elif cause:
                self.account.failed_named += 1
                self.account.causes[cause] = self.account.causes.get(cause, 0) + 1
            else:
                self.account.answered += 1
