"""Send one request to an agent and print its reply; without METHOD list the agent's methods.

Arguments are `name=value`; a value is parsed as JSON if it is valid JSON (`n=3`, `tags=["a"]`), else it
is text.

Agents of the library are called over argosy's protocol. A script without it whose probe is `zmq` gets
plain JSON, `{"action": METHOD, "name": value}`, from a REQ socket on its port (health on the port of
its probe), and its reply is printed unchanged. The call fails at once, with the reason, for an agent
that has another protocol, or that is not started, starting, waiting, blocked, exited or given up.

example: argosy call Translator translate text="good morning" to=fil

"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import zmq

from argosy.agent.request_dispatcher import METHODS_METHOD
from argosy.cli.arguments import add_fleet, parse_fleet
from argosy.cli.console import print_json, print_note, report_error
from argosy.engine.control.control_client import connect as connect_supervisor
from argosy.engine.inventory.leftover_processes import running_agents
from argosy.engine.protocol.messages import AgentStatus
from argosy.engine.protocol.state_machine import State
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.engine.supervisor.agent_protocol import AgentProtocol, PlainJson, UnknownProtocol, detect_protocol
from argosy.fault import Fault, InputError, RefusedError
from argosy.wire.address_book import AddressResolver, read_address_book
from argosy.wire.client.pooled_req import send_request
from argosy.wire.client.sync_peer import connect
from argosy.wire.errors import DeadlineExceeded, NotSent, RemoteError, WireError

# In these states no process answers, perhaps for long; in the other ones it is back soon.
_NOT_ANSWERING = frozenset({State.WAITING, State.STARTING, State.BLOCKED, State.EXITED, State.GIVEN_UP})


class _AgentUnavailableError(RefusedError):
    """The agent cannot be called; reported as `call/1`, since the request itself is valid."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy call`."""
    add_fleet(
        parser,
        positionals="AGENT [METHOD [name=value...]]",
        positionals_help="the agent to call; without METHOD its methods are listed",
    )
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="give up after S seconds (default 10)"
    )


def run(args: argparse.Namespace) -> int:
    """Call; returns 0 with a reply, 1 with a named error."""
    path, positionals = parse_fleet(args)
    if not positionals:
        hint = "`argosy call AGENT METHOD name=value`"
        raise InputError(Fault("AGENT", "usage", "no agent is named", hint))
    agent, method, *pairs = positionals if len(positionals) > 1 else (positionals[0], METHODS_METHOD)
    arguments = parse_arguments(pairs)
    started_at = time.monotonic()
    state_dir = locate_state_dir(path)
    address_book = _address_book_of(path, state_dir)
    try:
        _check_available(agent, path, state_dir)
        protocol = _protocol_of(agent, state_dir)
        if isinstance(protocol, PlainJson) and method == METHODS_METHOD:
            return _show_json_protocol(agent, protocol, started_at, as_json=args.as_json)
        request = _request_function(agent, protocol, address_book, args.timeout)
        reply = request(method, arguments)
    except _AgentUnavailableError as error:
        if not args.as_json:
            return report_error(error, as_json=False)
        fault = error.faults[0]
        _report_error(fault.code, fault.message, time.monotonic() - started_at, fault.hint, as_json=True)
        return 1
    except WireError as error:
        code = error.code if isinstance(error, RemoteError) else type(error).__name__
        hint = _error_hint(error, agent, state_dir)
        _report_error(code, str(error), time.monotonic() - started_at, hint, as_json=args.as_json)
        return 1
    _show(agent, method, reply, time.monotonic() - started_at, as_json=args.as_json)
    return 0


def _request_function(
    agent: str, protocol: AgentProtocol, address_book: Path, timeout_s: float
) -> Callable[[str, dict[str, Any]], Any]:
    if isinstance(protocol, PlainJson):
        return lambda method, arguments: _call_json(agent, protocol, method, arguments, timeout_s)

    def request(method: str, arguments: dict[str, Any]) -> Any:
        with connect(agent, timeout=timeout_s, book=address_book) as peer:
            # `call` has parameters with these names; a method with the same names needs `getattr`.
            has_reserved_names = bool(arguments.keys() & {"timeout", "returns"})
            return (
                getattr(peer, method)(**arguments) if has_reserved_names else peer.call(method, **arguments)
            )

    return request


def _show(agent: str, method: str, reply: Any, seconds: float, *, as_json: bool) -> None:
    if as_json:
        print_json({"argosy": "call/1", "reply": reply, "seconds": round(seconds, 6)})
    elif method == METHODS_METHOD:
        print("\n".join(reply) or f"`{agent}` has no methods of its own; it answers `health`")
    else:
        # Values without a JSON form, such as buffers, are shown as text.
        encoded = b"" if isinstance(reply, str) else msgspec.json.encode(reply, enc_hook=repr)
        print(reply if isinstance(reply, str) else msgspec.json.format(encoded, indent=2).decode())


def _show_json_protocol(agent: str, protocol: PlainJson, started_at: float, *, as_json: bool) -> int:
    """Print which methods of a script are known."""
    if as_json:
        known = [protocol.probe_method] if protocol.probe_method else []
        print_json({"argosy": "call/1", "reply": known, "seconds": round(time.monotonic() - started_at, 6)})
    else:
        print(_describe_json_protocol(agent, protocol))
    return 0


def parse_arguments(pairs: list[str]) -> dict[str, Any]:
    """Return the arguments of `name=value` words.

    Raises InputError: a word has no `=`, or a name comes twice.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name.isidentifier():
            raise InputError(Fault(pair, "usage", f"`{pair}` is not `name=value`"))
        if name in arguments:
            raise InputError(Fault(pair, "usage", f"`{name}` is given twice"))
        try:
            arguments[name] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            arguments[name] = text
    return arguments


def _check_available(agent: str, path: Path, state_dir: StateDir) -> None:
    """Check that the agent can answer.

    Raises _AgentUnavailableError: the supervisor reports that it cannot. Raises RefusedError: it is not
    running, and no supervisor would start it. Raises InputError: there is no such agent.
    """
    status = _status_of(agent, state_dir)
    if status is not None:
        if status.state in _NOT_ANSWERING:
            raise _AgentUnavailableError(_unavailable_fault(agent, status))
        return
    entry = AddressResolver(state_dir.address_book).address(agent)
    is_here = entry.machine in read_address_book(state_dir.address_book).machines
    if is_here and not state_dir.control_socket.exists() and agent not in running_agents(state_dir):
        raise RefusedError(Fault(str(path), "not-running", f"`{agent}` is not running", "`argosy up -d`"))


def _protocol_of(agent: str, state_dir: StateDir) -> AgentProtocol:
    """Return the agent's protocol. Raises _AgentUnavailableError: it has none that a call can use."""
    protocol = detect_protocol(agent, state_dir)
    if isinstance(protocol, UnknownProtocol):
        message = f"`{agent}` {protocol.reason}; a call needs argosy's protocol or plain JSON over ZeroMQ"
        raise _AgentUnavailableError(Fault("", "no-protocol", message, protocol.hint))
    return protocol


def _status_of(agent: str, state_dir: StateDir) -> AgentStatus | None:
    """Return the supervisor's status of an agent, None without a supervisor or an answer."""
    try:
        client = connect_supervisor(state_dir, "call")
        if client is None:
            return None
        with client:
            return client.fetch_status().agents.get(agent)
    except RefusedError:  # the agents keep running and may answer
        return None


def _unavailable_fault(agent: str, status: AgentStatus) -> Fault:
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
        separator = ": " if state in (State.GIVEN_UP, State.BLOCKED) and reason else " "
        message = f"`{agent}` is {state.value}{separator}{reason}".rstrip()
    hint = f"`argosy status`, `argosy logs {agent}`"
    if state in (State.EXITED, State.GIVEN_UP):
        hint = f"`argosy logs {agent}` has its output, `argosy restart {agent}` starts it"
    return Fault("", state.value, message, hint)


def _error_hint(error: WireError, agent: str, state_dir: StateDir) -> str:
    """Return the agent's current state if it may explain the error, else an empty text."""
    status = _status_of(agent, state_dir) if isinstance(error, NotSent) else None
    if status is None or status.state is State.READY:
        return ""
    return f"`{agent}` is {status.state.value} now ({status.reason}); `argosy status`, `argosy logs {agent}`"


def _address_book_of(path: Path, state_dir: StateDir) -> Path:
    address_book = state_dir.address_book
    if not address_book.exists():
        message = "this fleet has not been started here"
        raise RefusedError(Fault(str(path), "not-running", message, "`argosy up -d`"))
    return address_book


def _report_error(code: str, message: str, seconds: float, hint: str, *, as_json: bool) -> None:
    if as_json:
        fault = {"code": code, "message": message, **({"hint": hint} if hint else {})}
        print_json({"argosy": "call/1", "error": fault, "seconds": round(seconds, 6)})
        return
    print_note("error", f"{code} after {seconds:.3f} s: {message}", hint)


def _call_json(
    agent: str, protocol: PlainJson, method: str, arguments: dict[str, Any], timeout_s: float
) -> Any:
    """Send one request, and return the reply unchanged.

    Raises InputError: an argument is named `action`. Raises NotSent: nothing listens on the port.
    Raises DeadlineExceeded: no reply in time. Raises RemoteError: the reply is an error.
    """
    if "action" in arguments:
        message = '`action` is the key of the method in `{"action": METHOD, ...}`'
        raise InputError(Fault("action", "usage", message, "use another name"))
    endpoint = protocol.endpoint(method)
    deadline_s = time.monotonic() + timeout_s
    _check_listening(agent, method, endpoint, timeout_s)
    request = msgspec.json.encode({"action": method, **arguments})
    try:
        reply = send_request(endpoint, request, max(int((deadline_s - time.monotonic()) * 1000), 0))
    except zmq.Again as error:
        reason = f"no reply to plain JSON from `{endpoint}` within {timeout_s:g} s"
        raise DeadlineExceeded(agent, method, reason) from error
    return _decode_reply(agent, method, reply)


def _describe_json_protocol(agent: str, protocol: PlainJson) -> str:
    """Return a description of the methods that are known."""
    known = f"it answers `{protocol.probe_method}`, " if protocol.probe_method else ""
    return (
        f"`{agent}` is a script without argosy's library: {known}other methods are not known; "
        f'`argosy call {agent} METHOD name=value` sends {{"action": METHOD, "name": value}} '
        f"to port {protocol.port}"
    )


def _check_listening(agent: str, method: str, endpoint: str, timeout_s: float) -> None:
    """Raise NotSent if the port accepts no connection, since a REQ socket would wait for one."""
    url = urlsplit(endpoint)
    assert url.hostname is not None, "an endpoint has a host"
    assert url.port is not None, "and a port"
    try:
        socket.create_connection((url.hostname, url.port), timeout_s).close()
    except OSError as error:
        reason = f"nothing answers at `{endpoint}`: {(error.strerror or str(error)).lower()}"
        raise NotSent(agent, method, reason) from error


def _decode_reply(agent: str, method: str, raw_reply: bytes) -> Any:
    try:
        reply = msgspec.json.decode(raw_reply)
    except msgspec.DecodeError:
        return raw_reply.decode(errors="replace")
    if isinstance(reply, dict) and reply.get("error") and not reply.keys() & {"status", "result"}:
        # It is `{"error": {"code", "message"}}`, or `{"error": TEXT}`.
        found = reply["error"] if isinstance(reply["error"], dict) else {"message": reply["error"]}
        raise RemoteError(agent, method, str(found.get("code", "error")), str(found.get("message", "")))
    return reply
