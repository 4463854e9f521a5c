"""Send one request to an agent and print its reply; without METHOD list what the agent can do.

Arguments are `name=value`; a value is read as JSON where it is JSON (`n=3`, `tags=["a"]`), else
taken as text.

example: argosy call Translator translate text="good morning" to=fil
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.agent.dispatch import METHODS
from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.report import paint, print_json
from argosy.engine.folder import folder_of
from argosy.engine.remains import living_agents
from argosy.fault import Fault, InputError, RefusedError
from argosy.wire.blocking import connect
from argosy.wire.book import read_book
from argosy.wire.errors import RemoteError, WireError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from argosy.engine.folder import Folder


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
    with connect(agent, timeout=args.timeout, book=_book_of(path, folder)) as peer:
        _check_running(agent, path, folder)
        try:
            # `call` has two keywords of its own; a method's parameters of these names go the other way.
            is_taken = bool(arguments.keys() & {"timeout", "returns"})
            reply: Any = getattr(peer, method)(**arguments) if is_taken else peer.call(method, **arguments)
        except WireError as error:
            _report(error, time.monotonic() - began, as_json=args.as_json)
            return 1
    seconds = time.monotonic() - began
    if args.as_json:
        print_json({"argosy": "call/1", "reply": reply, "seconds": round(seconds, 6)})
    elif method == METHODS:
        print("\n".join(reply) or f"`{agent}` has no methods of its own; it answers `health`")
    else:
        print(reply if isinstance(reply, str) else msgspec.json.format(_encode(reply), indent=2).decode())
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


def _check_running(agent: str, path: Path, folder: Folder) -> None:
    """Refuse at once what nobody will answer: a dead agent of this machine that nobody would start again."""
    book = read_book(folder.book)
    is_here = book.agents[agent].machine in book.machines
    if is_here and not folder.control.exists() and agent not in living_agents(folder):
        raise RefusedError(Fault(str(path), "not-running", f"`{agent}` is not running", "`argosy up -d`"))


def _book_of(path: Path, folder: Folder) -> Path:
    book = folder.book
    if not book.exists():
        raise RefusedError(
            Fault(str(path), "not-running", "this fleet has not been started here", "`argosy up -d`")
        )
    return book


def _report(error: WireError, seconds: float, *, as_json: bool) -> None:
    code = error.code if isinstance(error, RemoteError) else type(error).__name__
    if as_json:
        fault = {"code": code, "message": str(error)}
        print_json({"argosy": "call/1", "error": fault, "seconds": round(seconds, 6)})
    else:
        print(f"{paint(code, 'red')} after {seconds:.3f} s: {error}")


def _encode(reply: Any) -> bytes:
    # Buffers and other things that JSON has no form for are shown as text.
    return msgspec.json.encode(reply, enc_hook=repr)
