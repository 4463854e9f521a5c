"""The one post of a process: the agent that has its name, its ports, its health and its requests.

Old programs make agents inside agents: a client that derives from the base, a helper class that
a rewrite turned into one. A process has one identity. It belongs to the agent whose constructor
began first; one of the program's own module takes it from one of an imported module, and a new
one from one that has failed or left. All others are guests, and bind nothing.

Health and the argosy endpoint are answered from the constructor on. The main port is bound when
the base's own loop begins, or a while after an agent's own loop has begun without it: until then
it may be the agent that binds it, and its callers wait in their own queues, as for an agent that
has not started. Had they been connected to the base, what they asked would have to be refused.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any, Final

import msgspec

from argosy.agent.compat.arbiter import PASS, Claims, Ruling, exempt, rule, seat
from argosy.agent.compat.asking import shown
from argosy.agent.compat.desk import asks_health, complain, give
from argosy.agent.compat.given import Given, command_line, number
from argosy.agent.compat.loop import Inbox
from argosy.agent.compat.ports import choose_ports, free_port
from argosy.agent.compat.responder import Responder
from argosy.agent.compat.say import Speaker
from argosy.agent.compat.standing import Standing
from argosy.agent.compat.work import Stage, Work
from argosy.agent.settings import Settings, read_settings
from argosy.fault import RefusedError
from argosy.wire import codec
from argosy.wire.book import socket_path
from argosy.wire.inquiry import ArgosyInquiry, Inquiry
from argosy.wire.instance import share_instance
from argosy.wire.port import wait_free
from argosy.wire.topic import PORT_METHOD

MAIN: Final = "main"
HEALTH: Final = "health"
FLEET: Final = "fleet"

TAKE_BACK_S: Final = 1.0
TAKE_S: Final = 5.0  # a work loop that reads no requests lets them wait no longer

_log = logging.getLogger("argosy.agent")


class Post:
    """What a process shows to the outside, for the agent that holds it; also the court of its binds.

    holder: the agent. compute: its payload. claims: its ports, None until `open`.
    """

    def __init__(self, holder: object, work: Work, compute: Callable[[], Any]) -> None:
        self.holder = holder
        self.work = work
        self.claims: Claims | None = None
        self.settings = Settings("")
        self.moves: dict[str, str] = {}
        self.guests: dict[str, None] = {}
        self._compute = compute
        self._taken: set[int] = set()
        self._lent: set[int] = set()
        self._strict = True
        self._is_main_open = False
        self._responder: Responder | None = None

    # -- its life ------------------------------------------------------------------------------

    def open(self, given: Given) -> Claims:
        """Find the ports, start the responder, answer health; return the ports. Once.

        Raises InputError: a variable is wrong. Raises RefusedError: the health port is held.
        """
        if self.claims is None:
            self.settings = read_settings(given.name, port=number(command_line().get("port")))
            self.claims = choose_ports(self.settings, given)
            self._strict = given.strict_port
            self._furnish()
            self._bind(HEALTH, self.claims.health)
        return self.claims

    def _furnish(self) -> None:
        self._responder = responder = Responder(self.settings, self._deliver)
        self.inbox = Inbox(responder.post)
        speaker = Speaker(self._compute, responder.post, responder.later)
        self._standing = Standing(
            self.work,
            speaker,
            responder,
            self.moves,
            self.guests,
            self._open_late,
            self._refuse_waiting,
            lambda: shown.of(self.settings.current_entry()),
        )
        responder.start()
        directory = self.settings.directory
        path = directory and socket_path(directory.book.runtime, self.settings.name)
        if path:
            responder.call(lambda: responder.bind(FLEET, [f"ipc://{path}"]))
            responder.call(responder.bind_topics)
        responder.post(self._standing.on_beat)
        responder.post(self._take_back)

    def open_main(self) -> None:
        """Take requests on the main port, unless the agent does; raises RefusedError when it is held."""
        responder, claims = self._responder, self.claims
        self._is_main_open = True
        is_apart = claims is not None and claims.main != claims.health
        if responder and claims and is_apart and not responder.call(lambda: responder.has(MAIN)):
            self._bind(MAIN, claims.main)

    def _open_late(self) -> None:
        """Take the main port of an agent that has a loop of its own, and has not taken it by now."""
        if not self._standing.is_leaving:
            try:
                self.open_main()
            except RefusedError as error:
                _log.error("%s", error)

    def _bind(self, key: str, port: int | None) -> None:
        responder = self._responder
        if responder is None or not port or port in self._taken:
            return
        try:
            responder.call(lambda: responder.bind(key, [self._endpoint(port)]))
        except RefusedError:
            if self._strict:
                raise
            self._bind_elsewhere(responder, key, port)

    def _bind_elsewhere(self, responder: Responder, key: str, port: int) -> None:
        """Take any free port, for an agent that said it does not insist."""
        assert self.claims
        other = free_port(self.settings.entry.bind)
        responder.call(lambda: responder.bind(key, [self._endpoint(other)]))
        self.claims = msgspec.structs.replace(self.claims, **{key: other})
        self.moved(port, self._endpoint(other), "it is held, and `strict_port` is false")

    def _endpoint(self, port: int) -> str:
        return f"tcp://{self.settings.entry.bind}:{port}"

    def close(self) -> None:
        """Answer nothing any more; the ports are free when this returns."""
        responder, self._responder = self._responder, None
        if responder and self.claims:
            responder.end()
            ports = {self.claims.main, self.claims.health or 0} - self._taken - {0}
            with exempt():
                wait_free([self._endpoint(port) for port in ports])

    def changed(self) -> None:
        """The main thread has taken a step; safe in any thread and in a signal handler."""
        if self._responder:
            self._responder.post(self._standing.tell)

    def publish(self, topic: str, value: object) -> None:
        """Publish on the fleet's topics, from any thread."""
        responder = self._responder
        if responder:
            responder.post(lambda: responder.publish(topic, value))

    # -- the court of binds ----------------------------------------------------------------------

    def ruling(self, port: int, takes_requests: bool) -> Ruling:
        """Decide on a bind of the agent's; before the ports are known, all pass and are remembered."""
        if self.claims is None:
            self._taken.add(port)
            return PASS
        main_is_free = self.claims.main not in self._taken
        return rule(self.claims, port, takes_requests=takes_requests, main_is_free=main_is_free)

    def give_way(self, port: int, lent: bool) -> None:
        """Close the base's own socket on a port of the agent's, and wait until it can be bound.

        lent: for a plain socket, which may be there only to try; then it is taken back once free.
        """
        responder = self._responder
        if responder is None:
            return
        self._taken.add(port)
        if lent:
            self._lent.add(port)
        key, message = self._key(port), "the agent is taking its port itself"
        refuse = functools.partial(self.inbox.refuse, codec.STOPPING, message, key)
        if responder.call(lambda: responder.unbind(key, refuse)):
            wait_free([self._endpoint(port)])

    def _key(self, port: int) -> str:
        return HEALTH if self.claims and port == self.claims.health else MAIN

    def moved(self, port: int, to: str, reason: str) -> None:
        """Report a bind that went elsewhere."""
        self.moves[str(port)] = to
        _log.warning("a bind on port %d went to `%s`: %s", port, to, reason)

    def note_guest(self, name: str) -> None:
        """Report another agent object of this process: it has no identity, and binds nothing."""
        self.guests[name] = None
        _log.info("`%s` is a second agent in this process, and binds nothing", name)

    def _take_back(self) -> None:
        """Serve again the ports that were lent to plain sockets and are free; in the responder's thread."""
        responder = self._responder
        if responder is None:
            return
        for port in [p for p in self._lent if wait_free([self._endpoint(p)], 0.0)]:
            self._lent.discard(port)
            self._taken.discard(port)
            if self._key(port) == HEALTH or self._is_main_open:
                responder.bind(self._key(port), [self._endpoint(port)])
        responder.later(TAKE_BACK_S, self._take_back)

    # -- requests, in the responder's thread -------------------------------------------------------

    def _deliver(self, key: str, inquiry: Inquiry) -> None:
        if isinstance(inquiry, ArgosyInquiry) and inquiry.method == PORT_METHOD:
            inquiry.reply(self._responder.port_of_topics if self._responder else 0)
        elif key == HEALTH or asks_health(inquiry):
            self._standing.when_known(lambda document: give(inquiry, document))
        elif self._standing.is_leaving:
            complain(inquiry, codec.STOPPING, "it is stopping")
        else:
            self.inbox.put(key, inquiry)
            if self._responder and not self.work.loops:
                self._responder.later(TAKE_S, self._refuse_untaken)

    def _refuse_untaken(self) -> None:
        """End requests that no loop of the base will take, since the agent's own loop is on."""
        if self.work.stage is Stage.WORKING and not self.work.loops:
            self.inbox.refuse(codec.UNKNOWN_METHOD, "its `run` takes no requests from its base")

    def _refuse_waiting(self) -> None:
        self.inbox.refuse(codec.STOPPING, "it takes no more requests here")


_current: list[tuple[int, Post]] = []


def current_post() -> Post | None:
    """Return the process's post, None where there is none; a forked child has none."""
    if _current and _current[0][0] != os.getpid():
        _current.clear()
        seat(None)
    return _current[0][1] if _current else None


def take_post(post: Post) -> None:
    """Make `post` the process's; the one before it is closed."""
    before = current_post()
    if before:
        before.close()
    _current[:] = [(os.getpid(), post)]
    share_instance()
    seat(post)


def leave_post() -> None:
    """Close the process's post, at its end."""
    post = current_post()
    if post:
        seat(None)
        post.close()
