"""Errors with which a request may end.

    WireError               any error of a request
    +-- NotSent             not executed: safe to retry                       (also a ConnectionError)
    |   +-- Overloaded      not executed: a limit on waiting calls was reached
    +-- OutcomeUnknown      sent, and perhaps executed: a retry may execute it twice
    |   +-- PeerLost        its connection ended before the reply             (also a ConnectionError)
    |   +-- PeerFrozen      its process is alive and sends nothing            (also a ConnectionError)
    |   +-- DeadlineExceeded  no reply by the deadline                        (also a TimeoutError)
    +-- RemoteError         executed by the peer, and failed: see `code` and `message`
    |   +-- UnknownMethod   the peer has no such method                       (also a LookupError)
    |   +-- BadArgument     the arguments do not fit the method's annotations (also a ValueError)
    +-- TooLarge            a message above the limit, at either end          (also a ValueError)

Retry in `except NotSent`; check the outcome before a retry in `except OutcomeUnknown`.
"""

# ruff: noqa: N818 - named for what is known (`NotSent`), by which a caller decides

from __future__ import annotations


class WireError(Exception):
    """The root of the wire's errors; has the peer, the method and the reason.

    All three are constructor arguments, so that an error survives pickling and copying.
    """

    message_template = "`{method}` of `{peer}` failed: {reason}"

    def __init__(self, peer: str, method: str, reason: str) -> None:
        super().__init__(peer, method, reason)
        self.peer = peer
        self.method = method
        self.reason = reason

    def __str__(self) -> str:
        return self.message_template.format(peer=self.peer, method=self.method, reason=self.reason)


class NotSent(WireError, ConnectionError):
    """The request was not executed: it never left, or the peer discarded it unread."""

    message_template = "`{method}` was not sent to `{peer}`: {reason}"


class Overloaded(NotSent):
    """The request was not executed because too many calls are waiting."""

    message_template = "`{method}` was not sent to `{peer}`, which is overloaded: {reason}"


class OutcomeUnknown(WireError):
    """The request was sent and no reply came: it may or may not have been executed."""

    message_template = "`{method}` was sent to `{peer}` and has no reply: {reason}"


class PeerLost(OutcomeUnknown, ConnectionError):
    """The connection on which the request was sent has ended."""


class PeerFrozen(OutcomeUnknown, ConnectionError):
    """The peer missed three heartbeats while it had the request."""


class DeadlineExceeded(OutcomeUnknown, TimeoutError):
    """The deadline of a request that was sent has passed."""


class RemoteError(WireError):
    """The peer's handler failed.

    code: the exception's class there, or the `code` it carries.
    message: the exception's text.
    """

    message_template = "`{method}` of `{peer}` failed: {reason}"

    def __init__(self, peer: str, method: str, code: str, message: str) -> None:
        super().__init__(peer, method, f"{code}: {message}" if message else code)
        self.args = (peer, method, code, message)
        self.code = code
        self.message = message


class UnknownMethod(RemoteError, LookupError):
    """The peer has no handler of this name; the message lists the nearest ones."""


class BadArgument(RemoteError, ValueError):
    """An argument does not fit; the message has its path and what was expected."""


class TooLarge(WireError, ValueError):
    """The message exceeds the size limit; if it was the request, nothing was executed."""

    message_template = "`{method}` of `{peer}` is too large: {reason}"
