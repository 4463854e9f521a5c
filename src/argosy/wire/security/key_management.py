"""Making, checking and exporting the keys of a fleet's machines, for `argosy keys`.

A secret is made once and overwritten only on request. Files appear whole, by a link of a
finished draft, so that two makers at once end with one key.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import zmq
from zmq.utils import z85

from argosy.atomic_file import create_atomic, write_atomic
from argosy.fault import Fault, MissingError, RefusedError
from argosy.wire.security.curve_keys import (
    PUBLIC_SUFFIX,
    SECRET_SUFFIX,
    KeyPair,
    exposed_fault,
    key_path,
    machines_with_keys,
    read_key,
)

DIR_MODE = 0o700
FILE_MODE = 0o600


class MachineKeys(msgspec.Struct, frozen=True):
    """What a directory holds of one machine.

    public: Z85, empty when there is none. fingerprint: of the public key, for reading aloud.
    has_secret: its secret is in this directory too.
    """

    public: str
    fingerprint: str
    has_secret: bool


def make_pair() -> KeyPair:
    """Return a new pair of CURVE keys."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public, secret)


def make_keys(
    keys_dir: str, machines: Iterable[str], new_pair: Callable[[], KeyPair] = make_pair
) -> tuple[str, ...]:
    """Make the directory and the keys missing in it; return the machines that got a key.

    A machine with only a public key here has its secret elsewhere and is left as it is.
    Raises MissingError: the directory cannot be made or written; RefusedError: a secret file holds no key.
    """
    try:
        os.makedirs(keys_dir, DIR_MODE, exist_ok=True)
        return tuple(name for name in machines if _make_machine_key(keys_dir, name, new_pair))
    except OSError as error:
        raise _write_fault(keys_dir, error) from error


def _make_machine_key(keys_dir: str, machine: str, new_pair: Callable[[], KeyPair]) -> bool:
    has_public, has_secret = (
        os.path.exists(key_path(keys_dir, machine, kind)) for kind in (PUBLIC_SUFFIX, SECRET_SUFFIX)
    )
    if has_public:
        return False
    if not has_secret:
        secret_path = key_path(keys_dir, machine, SECRET_SUFFIX)
        create_atomic(secret_path, new_pair().secret + b"\n", mode=FILE_MODE)
    # Also where only the public key was lost, or another maker wrote the secret first.
    public = zmq.curve_public(read_key(keys_dir, machine, SECRET_SUFFIX))
    create_atomic(key_path(keys_dir, machine, PUBLIC_SUFFIX), public + b"\n", mode=FILE_MODE)
    return True


def renew_key(keys_dir: str, machine: str, new_pair: Callable[[], KeyPair] = make_pair) -> None:
    """Replace a machine's pair by a new one, the secret first.

    Until the others have the new public key and the machine its new secret, they reject each other.
    Raises RefusedError: the machine has no key to renew; MissingError: the directory cannot be written.
    """
    read_key(keys_dir, machine, PUBLIC_SUFFIX)
    key_pair = new_pair()
    try:
        for kind, key in ((SECRET_SUFFIX, key_pair.secret), (PUBLIC_SUFFIX, key_pair.public)):
            path = key_path(keys_dir, machine, kind)
            write_atomic(path, key + b"\n", mode=FILE_MODE)
    except OSError as error:
        raise _write_fault(keys_dir, error) from error


def list_keys(keys_dir: str, machines: Sequence[str]) -> dict[str, MachineKeys]:
    """Return the keys of the fleet's machines, and of others that have a key; reads no secret.

    Raises RefusedError: there is no such directory.
    """
    if not os.path.isdir(keys_dir):
        message = f"there are no keys in `{keys_dir}`"
        raise RefusedError(Fault(keys_dir, "no-keys", message, "`argosy keys make` makes them"))
    names = dict.fromkeys(
        (*machines, *machines_with_keys(keys_dir), *machines_with_keys(keys_dir, SECRET_SUFFIX))
    )
    return {name: _inspect_keys(keys_dir, name) for name in names}


def _inspect_keys(keys_dir: str, machine: str) -> MachineKeys:
    has_secret = os.path.exists(key_path(keys_dir, machine, SECRET_SUFFIX))
    try:
        public = read_key(keys_dir, machine, PUBLIC_SUFFIX)
    except RefusedError:  # reported by `check_keys`
        return MachineKeys("", "", has_secret)
    return MachineKeys(public.decode(), fingerprint(public), has_secret)


def fingerprint(public: bytes) -> str:
    """Return the first 64 bits of SHA-256 of a public key, as hexadecimal in four groups."""
    digest = hashlib.sha256(z85.decode(public)).hexdigest()
    return "-".join(digest[i : i + 4] for i in range(0, 16, 4))


def check_keys(keys_dir: str, machines: Sequence[str]) -> list[Fault]:
    """Return everything wrong with a key directory: modes, contents, pairs, missing machines."""
    return [
        *_mode_faults(keys_dir),
        *_key_faults(keys_dir, machines),
        *_unknown_machine_faults(keys_dir, machines),
    ]


def _mode_faults(keys_dir: str) -> Iterator[Fault]:
    paths = [(keys_dir, DIR_MODE, 0o077)]
    # Everybody may read a public key; whoever can write one decides who is accepted.
    for kind, forbidden in ((PUBLIC_SUFFIX, 0o022), (SECRET_SUFFIX, 0o077)):
        paths += [
            (key_path(keys_dir, name, kind), FILE_MODE, forbidden)
            for name in machines_with_keys(keys_dir, kind)
        ]
    for path, expected_mode, forbidden in paths:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode & forbidden:
            yield exposed_fault(path, mode, expected_mode)


def _key_faults(keys_dir: str, machines: Sequence[str]) -> Iterator[Fault]:
    secrets = set(machines_with_keys(keys_dir, SECRET_SUFFIX))
    for machine in machines:
        try:
            public = read_key(keys_dir, machine, PUBLIC_SUFFIX)
            if machine in secrets and zmq.curve_public(read_key(keys_dir, machine, SECRET_SUFFIX)) != public:
                path = key_path(keys_dir, machine, PUBLIC_SUFFIX)
                message = f"the public key of `{machine}` does not belong to its secret"
                yield Fault(path, "key-mismatch", message, f"rm {path}, then `argosy keys make`")
        except RefusedError as error:
            yield from (fault for fault in error.faults if fault.code != "exposed-key")


def _unknown_machine_faults(keys_dir: str, machines: Sequence[str]) -> Iterator[Fault]:
    for name in machines_with_keys(keys_dir):
        if name not in machines:
            path = key_path(keys_dir, name, PUBLIC_SUFFIX)
            message = f"`{name}` is accepted and is not a machine of the fleet file"
            yield Fault(path, "unknown-machine", message, f"rm {path}, unless it is intended")


def export_keys(keys_dir: str, machine: str, target_dir: str) -> tuple[str, ...]:
    """Export what one machine needs to a new directory: its secret and all public keys; return the files.

    Raises RefusedError: the secret is not here, or `target_dir` is not empty; MissingError:
    it cannot be written.
    """
    keys = {(machine, SECRET_SUFFIX): read_key(keys_dir, machine, SECRET_SUFFIX)}
    keys |= {
        (name, PUBLIC_SUFFIX): read_key(keys_dir, name, PUBLIC_SUFFIX)
        for name in machines_with_keys(keys_dir)
    }
    try:
        if os.path.isdir(target_dir) and os.listdir(target_dir):
            message = f"`{target_dir}` is not empty, and keys are not mixed with what is there"
            hint = f"`-o` names another folder, or `rm -r {target_dir}`"
            raise RefusedError(Fault(target_dir, "not-empty", message, hint))
        os.makedirs(target_dir, DIR_MODE, exist_ok=True)
        os.chmod(target_dir, DIR_MODE)
        for (name, kind), key in keys.items():
            create_atomic(key_path(target_dir, name, kind), key + b"\n", mode=FILE_MODE)
    except OSError as error:
        raise _write_fault(target_dir, error) from error
    return tuple(sorted(name + kind for name, kind in keys))


def _write_fault(keys_dir: str, error: OSError) -> MissingError:
    message = f"`{keys_dir}` cannot be written: {(error.strerror or str(error)).lower()}"
    hint = "ARGOSY_KEYS names another folder for the keys"
    return MissingError(Fault(keys_dir, "no-directory", message, hint))
