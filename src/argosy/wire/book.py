"""The address book of a running fleet: one JSON file that the engine writes and agents read.

On the same machine an agent is reached by its ipc socket in the fleet's runtime folder, from
elsewhere (or when the path is too long for a socket) by its declared port.
"""

from __future__ import annotations

import os

import msgspec

from argosy.fault import Fault, InputError, MissingError
from argosy.wire.wholefile import write_whole

HUB = "hub@"  # and a machine's name; no agent's name has an `@`
SOCKET_PATH_BYTES = 107  # sun_path of Linux, without its final zero


class Entry(msgspec.Struct, frozen=True):
    """Where one agent is.

    host: what others connect to; bind: the interface it binds itself.
    idempotent: methods that may be asked again when their outcome is unknown.
    needs, wants: the agents that it needs and wants, told with its health.
    """

    machine: str
    host: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    port: int | None = None
    health_port: int | None = None
    idempotent: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


class Book(msgspec.Struct, frozen=True):
    """A fleet as its agents see it.

    machines: the machines that are this one. runtime: the folder of the fleet's sockets.
    keys: the folder of the machines' keys; empty when nothing is keyed. hubs: by machine.
    """

    fleet: str
    environment: str
    machines: tuple[str, ...]
    runtime: str
    agents: dict[str, Entry]
    keys: str = ""
    hubs: dict[str, Entry] = {}


def hub_name(machine: str) -> str:
    """Return the name under which a machine's hub is found in the book."""
    return HUB + machine


def read_book(path: str | os.PathLike[str]) -> Book:
    """Read a book.

    Raises MissingError: there is no such file; InputError: it is not a book.
    """
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        fault = Fault(str(path), "no-book", f"the fleet's address book cannot be read: {error.strerror}")
        raise MissingError(fault) from error
    try:
        return msgspec.json.decode(text, type=Book)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InputError(Fault(str(path), "bad-book", f"this is not an address book: {error}")) from error


def write_book(path: str | os.PathLike[str], book: Book) -> None:
    """Write a book so that readers see the old one or the new one, never a part."""
    write_whole(path, msgspec.json.encode(book))


def socket_path(runtime: str, name: str, *, topics: bool = False) -> str | None:
    """Return the path of an agent's ipc socket, None when it is too long for one."""
    path = f"{runtime}/z/{name}{'.t' if topics else ''}"
    return path if len(os.fsencode(path)) <= SOCKET_PATH_BYTES else None


class Directory:
    """A book that is read again when its file has changed, asked for endpoints."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._seen: tuple[int, int, int] | None = None
        self._book = self._read()

    @property
    def book(self) -> Book:
        """The book as it is on disk now; the last good one when it cannot be read."""
        try:
            stat = os.stat(self._path)
            if (stat.st_ino, stat.st_mtime_ns, stat.st_size) != self._seen:
                self._book = self._read()
        except OSError:
            # The folder of a fleet that is being stopped may go first; what was true stays in use.
            return self._book
        return self._book

    def _read(self) -> Book:
        book = read_book(self._path)
        stat = os.stat(self._path)
        self._seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        return book

    def entry(self, name: str) -> Entry:
        """Return an agent's entry; raises InputError with the nearest name when there is none."""
        book = self.book
        found = book.hubs.get(name.removeprefix(HUB)) if name.startswith(HUB) else book.agents.get(name)
        if found is None:
            raise InputError(_unknown(book, name, self._path))
        return found

    def idempotent(self, name: str) -> tuple[str, ...]:
        """Return an agent's idempotent methods, none for one that has left the book."""
        found = self.book.agents.get(name)
        return found.idempotent if found else ()

    def endpoint(self, name: str) -> str:
        """Return what to connect to now: ipc when its socket is there, else tcp, else ipc."""
        book, entry = self.book, self.entry(name)
        path = socket_path(book.runtime, name) if entry.machine in book.machines else None
        if path and (entry.port is None or os.path.exists(path)):
            return f"ipc://{path}"
        if entry.port is None:
            raise InputError(_unreachable(name, entry, self._path))
        return f"tcp://{entry.host}:{entry.port}"


def _unknown(book: Book, name: str, path: str) -> Fault:
    import difflib  # noqa: PLC0415 - only for the message of a mistake

    near = difflib.get_close_matches(name, book.agents, 1)
    hint = f"did you mean `{near[0]}`?" if near else f"it has {len(book.agents)} agents, see `{path}`"
    return Fault(path, "unknown-agent", f"fleet `{book.fleet}` has no agent `{name}`", hint)


def _unreachable(name: str, entry: Entry, path: str) -> Fault:
    message = f"`{name}` is on `{entry.machine}` and declares no port, so it cannot be reached from here"
    return Fault(path, "no-port", message, f"give `{name}` a `port` in the fleet file")
