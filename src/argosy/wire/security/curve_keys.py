"""The keys of a fleet's machines on disk, and which of them a connection needs.

Each machine has one CURVE key pair. A machine's key directory holds its own secret and the public
keys of all machines: `NAME.secret` and `NAME.public`, 40 characters of Z85 (ZeroMQ RFC 32) each. A peer
whose public key is in the directory is accepted; the name of the file is the name of the machine.

Only TCP beyond loopback uses keys: what an agent binds decides, for it and for its clients, so
the two sides always agree. A fleet without a key directory uses no keys.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.fault import Fault, RefusedError
from argosy.fleet.hosts import is_loopback

if TYPE_CHECKING:
    import zmq

    from argosy.wire.address_book import AddressResolver

KEY_LENGTH = 40
PUBLIC_SUFFIX = ".public"
SECRET_SUFFIX = ".secret"
_Z85 = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")


class KeyPair(msgspec.Struct, frozen=True):
    """A machine's key pair, as Z85."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r}, secret=...)"


def default_keys_dir(fleet: str, variables: Mapping[str, str] | None = None) -> str:
    """Return a fleet's key directory: ARGOSY_KEYS, else one of its name in the user's configuration."""
    variables = os.environ if variables is None else variables
    configured = variables.get("ARGOSY_KEYS")
    if configured:
        return configured
    home = variables.get("XDG_CONFIG_HOME") or os.path.join(
        variables.get("HOME") or os.path.expanduser("~"), ".config"
    )
    return os.path.join(home, "argosy", "keys", fleet)


def active_keys_dir(fleet: str, variables: Mapping[str, str] | None = None) -> str:
    """Return the directory of the fleet's keys for the address book: empty when there is none."""
    keys_dir = os.path.abspath(default_keys_dir(fleet, variables))
    return keys_dir if os.path.isdir(keys_dir) else ""


def is_curve_required(interface: str) -> bool:
    """Return whether connections to an interface need keys, in a fleet that has keys."""
    return not is_loopback(interface)


def is_curve_endpoint(endpoint: str) -> bool:
    """Return whether an endpoint to bind needs keys: TCP beyond loopback."""
    if not endpoint.startswith("tcp://"):
        return False
    return is_curve_required(endpoint[len("tcp://") :].rpartition(":")[0].strip("[]"))


def key_path(keys_dir: str, machine: str, kind: str) -> str:
    """Return the path of a machine's key; kind is PUBLIC or SECRET."""
    return os.path.join(keys_dir, machine + kind)


def read_key(keys_dir: str, machine: str, kind: str) -> bytes:
    """Return a machine's key; kind is PUBLIC or SECRET.

    Raises RefusedError: the file does not exist, it holds no key, or it is a secret that others can read.
    """
    path = key_path(keys_dir, machine, kind)
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4 * KEY_LENGTH).strip()
    except FileNotFoundError:
        message = f"there is no {kind[1:]} key of `{machine}` in `{keys_dir}`"
        raise RefusedError(Fault(path, "no-key", message, _missing_key_hint(machine, kind))) from None
    except OSError as error:
        message = f"`{path}` cannot be read: {(error.strerror or str(error)).lower()}"
        raise RefusedError(Fault(path, "unreadable-key", message)) from error
    if kind == SECRET_SUFFIX and mode & 0o077:
        raise RefusedError(exposed_fault(path, mode, 0o600))
    if len(text) != KEY_LENGTH or not _Z85.issuperset(text):
        message = f"`{path}` holds no key: expected {KEY_LENGTH} characters of Z85"
        raise RefusedError(Fault(path, "bad-key", message))
    return text


def machines_with_keys(keys_dir: str, kind: str = PUBLIC_SUFFIX) -> list[str]:
    """Return the machines that have a key file of this kind in the directory, sorted."""
    return sorted(name.removesuffix(kind) for name in os.listdir(keys_dir) if name.endswith(kind))


def exposed_fault(path: str, mode: int, wanted: int) -> Fault:
    """Return the fault of a file or directory that users other than its owner can access."""
    message = f"`{path}` can be used by others than its owner (mode {mode:04o}, expected {wanted:04o})"
    return Fault(path, "exposed-key", message, f"chmod {wanted:o} {path}")


def _missing_key_hint(machine: str, kind: str) -> str:
    if kind == SECRET_SUFFIX:
        return f"`argosy keys copy {machine}`, where the keys were made, lays out what `{machine}` needs"
    return "`argosy keys make` makes what is missing; then every machine needs it"


class Keyring:
    """The keys that this machine has, read from disk at each lookup.

    Nothing is cached: lookups come with connections, which are few, and a key that was replaced
    or removed must not be accepted once more.

    machines: the names of this machine (at least one), of which one has its secret here.
    """

    def __init__(self, keys_dir: str, machines: Iterable[str]) -> None:
        self.keys_dir = keys_dir
        self._machines = tuple(machines) or ("",)

    def own_pair(self) -> KeyPair:
        """Return the pair of this machine.

        Raises RefusedError: there is none, or others can read its secret.
        """
        secrets = (
            name for name in self._machines if os.path.exists(key_path(self.keys_dir, name, SECRET_SUFFIX))
        )
        machine = next(secrets, self._machines[0])
        return KeyPair(
            secret=read_key(self.keys_dir, machine, SECRET_SUFFIX),
            public=read_key(self.keys_dir, machine, PUBLIC_SUFFIX),
        )

    def public_key(self, machine: str) -> bytes:
        """Return a machine's public key; raises RefusedError when there is none."""
        return read_key(self.keys_dir, machine, PUBLIC_SUFFIX)

    def machine_of_key(self, public: bytes) -> str | None:
        """Return the machine whose public key this is, None for an unknown key."""
        if not os.path.isdir(self.keys_dir):
            return None  # without the directory no key is accepted
        for machine in machines_with_keys(self.keys_dir):
            try:
                if read_key(self.keys_dir, machine, PUBLIC_SUFFIX) == public:
                    return machine
            except RefusedError:
                continue  # an invalid key file accepts nobody; `argosy keys show` reports it
        return None

    def apply(self, socket: zmq.Socket[Any], machine: str) -> None:
        """Set this machine's keys on a socket's next connections, to the given machine only.

        Raises RefusedError: as `own_pair` and `public_key`.
        """
        pair = self.own_pair()
        socket.curve_serverkey = self.public_key(machine)
        socket.curve_publickey = pair.public
        socket.curve_secretkey = pair.secret


def apply_keys(resolver: AddressResolver, peer: str, socket: zmq.Socket[Any], endpoint: str) -> None:
    """Set on a socket the keys, if any, that an agent of the address book requires at this endpoint.

    Raises RefusedError: a required key is missing.
    """
    book, address = resolver.book, resolver.address(peer)
    if book.keys and endpoint.startswith("tcp://") and is_curve_required(address.bind):
        Keyring(book.keys, book.machines).apply(socket, address.machine)
