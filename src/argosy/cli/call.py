"""Send one request to an agent and print its reply; without METHOD list what the agent can do.

Arguments are `name=value`; a value is read as JSON where it is JSON (`n=3`, `tags=["a"]`), else
taken as text.

An agent of the library is asked over argosy's wire. A script without it whose probe is `zmq` gets
plain JSON, `{"action": METHOD, "name": value}`, from a REQ socket at its port (health at the port of its
probe), and its answer is printed as it is. An agent that speaks something else, or that is not started,
starting, waiting, blocked, exited or given up, is named at once, with the reason.

example: argosy call Translator translate text="good morning" to=fil
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.agent.dispatch import METHODS
from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.plaincall import call_plain, describe_plain
from argosy.cli.report import paint, print_json, report_error
from argosy.engine.client import connect as connect_supervisor
from argosy.engine.folder import folder_of
from argosy.engine.protocol import PlainJson, Unknown, protocol_of
from argosy.engine.remains import living_agents
from argosy.engine.state import State
from argosy.fault import Fault, InputError, RefusedError
from argosy.wire.blocking import connect
from argosy.wire.book import Directory, read_book
from argosy.wire.errors import NotSent, RemoteError, WireError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from argosy.engine.folder import Folder
    from argosy.engine.messages import AgentStatus
    from argosy.engine.protocol import Protocol

# Nobody would answer, and it may take long until somebody does; after the other states it is back soon.
_AWAY = frozenset({State.WAITING, State.STARTING, State.BLOCKED, State.EXITED, State.GIVEN_UP})


class _AwayError(RefusedError):
    """The agent cannot be asked; told as `call/1`, since the question itself was right."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy call`."""
    add_fleet(
        parser,
        words="AGENT [METHOD [name=value...]]",
        words_help="who is asked; without METHOD its methods are listed",
    )
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="end the call after S seconds (default 10)"
    )


def run(args: argparse.Namespace) -> int:
    """Call; returns 0 with a reply, 1 with a named error."""
    path, words = take_fleet(args)
    if not words:
        raise InputError(
            Fault("AGENT", "usage", "no agent is named", "`argosy call AGENT METHOD name=value`")
        )
    agent, method, *pairs = words if len(words) > 1 else (words[0], METHODS)
    arguments = parse_arguments(pairs)
    began = time.monotonic()
    folder = folder_of(path)
    book = _book_of(path, folder)
    try:
        _check_there(agent, path, folder)
        protocol = _protocol_of(agent, folder)
        if isinstance(protocol, PlainJson) and method == METHODS:
            return _show_plain(agent, protocol, began, as_json=args.as_json)
        ask = _asker(agent, protocol, book, args.timeout)
        reply = ask(method, arguments)
    except _AwayError as error:
        if not args.as_json:
            return report_error(error, as_json=False)
        fault = error.faults[0]
        _report(fault.code, fault.message, time.monotonic() - began, fault.hint, as_json=True)
        return 1
    except WireError as error:
        code = error.code if isinstance(error, RemoteError) else type(error).__name__
        hint = _hint_after(error, agent, folder)
        _report(code, str(error), time.monotonic() - began, hint, as_json=args.as_json)
        return 1
    _show(agent, method, reply, time.monotonic() - began, as_json=args.as_json)
    return 0


def _asker(
    agent: str, protocol: Protocol, book: Path, timeout_s: float
) -> Callable[[str, dict[str, Any]], Any]:
    if isinstance(protocol, PlainJson):
        return lambda method, arguments: call_plain(agent, protocol, method, arguments, timeout_s)

    def ask(method: str, arguments: dict[str, Any]) -> Any:
        with connect(agent, timeout=timeout_s, book=book) as peer:
            # `call` has two keywords of its own; a method's parameters of these names go the other way.
            is_taken = bool(arguments.keys() & {"timeout", "returns"})
            return getattr(peer, method)(**arguments) if is_taken else peer.call(method, **arguments)

    return ask


def _show(agent: str, method: str, reply: Any, seconds: float, *, as_json: bool) -> None:
    if as_json:
        print_json({"argosy": "call/1", "reply": reply, "seconds": round(seconds, 6)})
    elif method == METHODS:
        print("\n".join(reply) or f"`{agent}` has no methods of its own; it answers `health`")
    else:
        print(reply if isinstance(reply, str) else msgspec.json.format(_encode(reply), indent=2).decode())


def _show_plain(agent: str, protocol: PlainJson, began: float, *, as_json: bool) -> int:
    """Say what a script can be asked, as far as that is known."""
    if as_json:
        known = [protocol.known] if protocol.known else []
        print_json({"argosy": "call/1", "reply": known, "seconds": round(time.monotonic() - began, 6)})
    else:
        print(describe_plain(agent, protocol))
    return 0


def parse_arguments(pairs: list[str]) -> dict[str, Any]:
    """Return the arguments of `name=value` words.

    Raises InputError: a word has no `=`, or a name comes twice.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, found, text = pair.partition("=")
        if not found or not name.isidentifier():
            raise InputError(Fault(pair, "usage", f"`{pair}` is not `name=value`"))
        if name in arguments:
            raise InputError(Fault(pair, "usage", f"`{name}` is given twice"))
        try:
            arguments[name] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            arguments[name] = text
    return arguments


def _check_there(agent: str, path: Path, folder: Folder) -> None:
    """Refuse at once what nobody will answer.

    Raises _AwayError: the supervisor knows that it will not. Raises RefusedError: it is dead, and nobody
    would start it again. Raises InputError: there is no such agent.
    """
    status = _status_of(agent, folder)
    if status is not None:
        if status.state in _AWAY:
            raise _AwayError(_fault_of(agent, status))
        return
    entry = Directory(folder.book).entry(agent)
    is_here = entry.machine in read_book(folder.book).machines
    if is_here and not folder.control.exists() and agent not in living_agents(folder):
        raise RefusedError(Fault(str(path), "not-running", f"`{agent}` is not running", "`argosy up -d`"))


def _protocol_of(agent: str, folder: Folder) -> Protocol:
    """Raises _AwayError: it speaks nothing that a call can be made in."""
    protocol = protocol_of(agent, folder)
    if isinstance(protocol, Unknown):
        message = f"`{agent}` {protocol.reason}; a call needs argosy's wire or plain JSON over ZeroMQ"
        raise _AwayError(Fault("", "no-protocol", message, protocol.hint))
    return protocol


def _status_of(agent: str, folder: Folder) -> AgentStatus | None:
    """Return what the supervisor knows of an agent, None where there is none or it does not answer."""
    try:
        client = connect_supervisor(folder, "call")
        if client is None:
            return None
        with client:
            return client.report().agents.get(agent)
    except RefusedError:  # the agents run on, and may answer
        return None


def _fault_of(agent: str, status: AgentStatus) -> Fault:
    state, reason = status.state, status.reason
    if status.waiting_on:
        reason = f"for {', '.join(status.waiting_on)}"
    if state is State.STARTING:
        reason = f"for {time.time() - status.since_s:.1f} s"
    if state is State.EXITED:
        message = f"`{agent}` is not running: {reason}"
    elif reason.startswith("given up"):
        message = f"`{agent}` was {reason}"
    else:
        between = ": " if state in (State.GIVEN_UP, State.BLOCKED) and reason else " "
        message = f"`{agent}` is {state.value}{between}{reason}".rstrip()
    hint = f"`argosy status`, `argosy logs {agent}`"
    if state in (State.EXITED, State.GIVEN_UP):
        hint = f"`argosy logs {agent}` has its output, `argosy restart {agent}` starts it"
    return Fault("", state.value, message, hint)


def _hint_after(error: WireError, agent: str, folder: Folder) -> str:
    """Return how the agent is now, where that may be the reason."""
    status = _status_of(agent, folder) if isinstance(error, NotSent) else None
    if status is None or status.state is State.READY:
        return ""
    return f"`{agent}` is {status.state.value} now ({status.reason}); `argosy status`, `argosy logs {agent}`"


def _book_of(path: Path, folder: Folder) -> Path:
    book = folder.book
    if not book.exists():
        raise RefusedError(
            Fault(str(path), "not-running", "this fleet has not been started here", "`argosy up -d`")
        )
    return book


def _report(code: str, message: str, seconds: float, hint: str, *, as_json: bool) -> None:
    if as_json:
        fault = {"code": code, "message": message, **({"hint": hint} if hint else {})}
        print_json({"argosy": "call/1", "error": fault, "seconds": round(seconds, 6)})
        return
    sys.stderr.write(f"{paint('error:', 'red', sys.stderr)} {code} after {seconds:.3f} s: {message}\n")
    if hint:
        sys.stderr.write(f"{paint('hint:', 'cyan', sys.stderr)} {hint}\n")


def _encode(reply: Any) -> bytes:
    # Buffers and other things that JSON has no form for are shown as text.
    return msgspec.json.encode(reply, enc_hook=repr)
