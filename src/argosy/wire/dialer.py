"""Dialling a peer: one lane at a time, watched until it ends, dialled again while it is wanted.

A refused dial is repeated at 10 ms to 1 s. A peer that accepts the connection and stays silent
gives no event, so its greeting has a time-out of its own; one that says it is starting is
waited for.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import zmq

from argosy.fault import ArgosyError
from argosy.wire.doorway import connect_link
from argosy.wire.lane import Lane, Secure
from argosy.wire.link import Link
from argosy.wire.reactor import Act, Reactor, Timer
from argosy.wire.standing import Standing

FIRST_REDIAL_S: Final = 0.01
MOST_REDIAL_S: Final = 1.0
GREETING_S: Final = 2.0


class Dialer:
    """The lane to one peer, or the way to the next one.

    where: gives the endpoint at every dial. secure: gives each new socket its keys.
    greet: returns the message that a new lane begins with.
    wanted: tells whether a lane is needed at all. readable: called when a message may be there.
    standing: is told when the peer is not to be reached.
    lost: called with the reason when the lane has ended; `drop` is then the owner's to call.
    """

    def __init__(
        self,
        where: Callable[[], str],
        secure: Secure | None,
        reactor: Reactor,
        *,
        greet: Callable[[], bytes],
        wanted: Callable[[], bool],
        readable: Act,
        lost: Callable[[str], object],
        standing: Standing,
    ) -> None:
        self.lane: Lane | Link | None = None
        self.why_not = "it was not dialled yet"
        self.dials = 0
        self._where = where
        self._secure = secure
        self._reactor = reactor
        self._greet = greet
        self._wanted = wanted
        self._readable = readable
        self._lost = lost
        self._standing = standing
        self._wait_s = 0.0
        self._redial: Timer | None = None
        self._greeting: Timer | None = None

    def need(self) -> None:
        """Dial, unless there is a lane or a dial is due."""
        if not self.lane and not self._redial:
            self._dial()

    def again(self) -> None:
        """Dial in a while, longer each time, if a lane is wanted then."""
        self._standing.lose()
        if self._redial or not self._wanted():
            return
        wait_s = self._wait_s * random.uniform(0.75, 1.0)
        self._wait_s = min(MOST_REDIAL_S, 2 * self._wait_s or FIRST_REDIAL_S)
        self._redial = self._reactor.later(wait_s, self._dial)

    def on_welcome(self) -> None:
        """The peer takes calls."""
        self._cancel_greeting()
        self._wait_s = 0.0

    def on_beat(self) -> None:
        """The peer is there; before its welcome that means that it is starting or stopping."""
        if self._greeting:
            self._cancel_greeting()
            is_stopping = self._standing.word == "stopping"
            self.why_not = "it is stopping" if is_stopping else "it is there and still starting"

    def drop(self, reason: str) -> None:
        """Close the lane, if there is one."""
        self.why_not = reason
        self._cancel_greeting()
        lane, self.lane = self.lane, None
        if lane:
            if isinstance(lane, Lane):
                self._reactor.unwatch(lane.fd)
                self._reactor.unwatch(lane.monitor_fd)
            lane.close()

    def close(self, reason: str) -> None:
        """Close the lane and dial no more."""
        self.drop(reason)
        if self._redial:
            self._redial.cancel()
            self._redial = None

    def _dial(self) -> None:
        self._redial = None
        if not self._wanted():
            return
        try:
            endpoint = self._where()
            self.lane = lane = connect_link(endpoint, self._reactor) or Lane(endpoint, self._secure)
        except (ArgosyError, zmq.ZMQError) as error:  # a key or an entry of the book may still come
            self.why_not = str(error).partition("\n")[0]
            self.again()
            return
        self.dials += 1
        if self.dials == 1:  # later on, why the last lane ended tells more
            self.why_not = f"`{lane.endpoint}` did not answer"
        self._greeting = self._reactor.later(GREETING_S, self._on_silence)
        if isinstance(lane, Link):
            self._reactor.watch(lane.fd, self._on_link)
            lane.send(self._greet())
            return
        self._reactor.watch(lane.fd, self._readable)
        self._reactor.watch(lane.monitor_fd, self._on_ending)
        lane.send(self._greet())
        # A descriptor tells of what comes after its socket was found empty, and not before.
        self._reactor.soon(self._readable)
        self._reactor.soon(self._on_ending)

    def _on_link(self) -> None:
        """Take what came; the end of a link comes after it on the same descriptor."""
        self._readable()
        self._on_ending()

    def _on_ending(self) -> None:
        lane = self.lane
        reason = lane.ending() if lane else ""
        if reason and lane:
            self._lost(f"{reason} (`{lane.endpoint}`)")

    def _on_silence(self) -> None:
        self._lost("it accepts the connection and says nothing")

    def _cancel_greeting(self) -> None:
        if self._greeting:
            self._greeting.cancel()
            self._greeting = None
