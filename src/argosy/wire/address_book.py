"""The address book of a running fleet: one JSON file that the engine writes and agents read.

On the same machine an agent is reached by its ipc socket in the fleet's runtime directory; from another
machine, or when the path is too long for a socket, by its declared port.
"""

from __future__ import annotations

import os

import msgspec

from argosy.atomic_file import write_if_changed
from argosy.fault import Fault, InputError, MissingError

HUB_PREFIX = "hub@"  # followed by a machine's name; no agent's name has an `@`
MAX_SOCKET_PATH_BYTES = 107  # sun_path of Linux, without its final zero


class AgentAddress(msgspec.Struct, frozen=True):
    """The address of one agent.

    host: what others connect to; bind: the interface that it binds.
    idempotent: methods that may be called again when their outcome is unknown.
    needs, wants: the agents that it needs and wants, reported with its health.
    """

    machine: str
    host: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    port: int | None = None
    health_port: int | None = None
    idempotent: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


class AddressBook(msgspec.Struct, frozen=True):
    """A fleet as its agents see it.

    machines: the names of this machine. runtime: the directory of the fleet's sockets.
    keys: the directory of the machines' keys; empty when no connection uses keys. hubs: by machine.
    """

    fleet: str
    environment: str
    machines: tuple[str, ...]
    runtime: str
    agents: dict[str, AgentAddress]
    keys: str = ""
    hubs: dict[str, AgentAddress] = {}


def hub_name(machine: str) -> str:
    """Return the name of a machine's hub in the address book."""
    return HUB_PREFIX + machine


def read_address_book(path: str | os.PathLike[str]) -> AddressBook:
    """Read an address book.

    Raises MissingError: the file does not exist; InputError: it is not an address book.
    """
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        fault = Fault(
            str(path), "no-address-book", f"the fleet's address book cannot be read: {error.strerror}"
        )
        raise MissingError(fault) from error
    try:
        return msgspec.json.decode(text, type=AddressBook)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InputError(
            Fault(str(path), "bad-address-book", f"this is not an address book: {error}")
        ) from error


def write_address_book(path: str | os.PathLike[str], book: AddressBook) -> None:
    """Write an address book atomically: readers see the previous one or the new one."""
    write_if_changed(path, msgspec.json.encode(book))


def socket_path(runtime: str, name: str, *, topics: bool = False) -> str | None:
    """Return the path of an agent's ipc socket, None when it is too long for one."""
    path = f"{runtime}/z/{name}{'.t' if topics else ''}"
    return path if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES else None


class AddressResolver:
    """Resolves names to endpoints by an address book, which is read again when its file changes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._file_state: tuple[int, int, int] | None = None
        self._book = self._read()

    @property
    def book(self) -> AddressBook:
        """The address book on disk; the last valid one when it cannot be read."""
        try:
            stat = os.stat(self._path)
            if (stat.st_ino, stat.st_mtime_ns, stat.st_size) != self._file_state:
                self._book = self._read()
        except OSError:
            # The directory of a fleet that is stopping may be removed first; the last book stays in use.
            return self._book
        return self._book

    def _read(self) -> AddressBook:
        book = read_address_book(self._path)
        stat = os.stat(self._path)
        self._file_state = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        return book

    def address(self, name: str) -> AgentAddress:
        """Return an agent's entry; raises InputError with the nearest name when there is none."""
        book = self.book
        found = (
            book.hubs.get(name.removeprefix(HUB_PREFIX))
            if name.startswith(HUB_PREFIX)
            else book.agents.get(name)
        )
        if found is None:
            raise InputError(_unknown_agent_fault(book, name, self._path))
        return found

    def idempotent_methods(self, name: str) -> tuple[str, ...]:
        """Return an agent's idempotent methods, none for one that is no longer in the address book."""
        found = self.book.agents.get(name)
        return found.idempotent if found else ()

    def endpoint(self, name: str) -> str:
        """Return the endpoint to connect to now: ipc if its socket exists, else tcp, else ipc."""
        book, address = self.book, self.address(name)
        path = socket_path(book.runtime, name) if address.machine in book.machines else None
        if path and (address.port is None or os.path.exists(path)):
            return f"ipc://{path}"
        if address.port is None:
            raise InputError(_no_port_fault(name, address, self._path))
        return f"tcp://{address.host}:{address.port}"


def _unknown_agent_fault(book: AddressBook, name: str, path: str) -> Fault:
    import difflib  # noqa: PLC0415 - only for the message of a mistake

    nearest = difflib.get_close_matches(name, book.agents, 1)
    hint = f"did you mean `{nearest[0]}`?" if nearest else f"it has {len(book.agents)} agents, see `{path}`"
    return Fault(path, "unknown-agent", f"fleet `{book.fleet}` has no agent `{name}`", hint)


def _no_port_fault(name: str, address: AgentAddress, path: str) -> Fault:
    message = f"`{name}` is on `{address.machine}` and declares no port, so it cannot be reached from here"
    return Fault(path, "no-port", message, f"give `{name}` a `port` in the fleet file")
