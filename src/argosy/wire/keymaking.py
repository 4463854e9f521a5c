"""Making, checking and laying out the keys of a fleet's machines: what `argosy keys` does.

A secret is made once and is never overwritten but on request; files appear whole, by a link of a
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

from argosy.fault import Fault, MissingError, RefusedError
from argosy.wire.keys import PUBLIC, SECRET, KeyPair, exposed, key_path, machines_in, read_key

FOLDER_MODE = 0o700
FILE_MODE = 0o600


class MachineKeys(msgspec.Struct, frozen=True):
    """What a folder holds of one machine.

    public: Z85, empty when there is none. fingerprint: of the public key, for reading aloud.
    has_secret: its secret is in this folder too.
    """

    public: str
    fingerprint: str
    has_secret: bool


def make_pair() -> KeyPair:
    """Return a new pair of CURVE keys."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public, secret)


def make_keys(
    folder: str, machines: Iterable[str], pair: Callable[[], KeyPair] = make_pair
) -> tuple[str, ...]:
    """Make the folder and the keys that are missing in it; return the machines that got a key.

    A machine of which the public key alone is here has its secret elsewhere and is left as it is.
    Raises MissingError: the folder cannot be made or written; RefusedError: a secret is no key.
    """
    try:
        os.makedirs(folder, FOLDER_MODE, exist_ok=True)
        return tuple(name for name in machines if _make(folder, name, pair))
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _make(folder: str, machine: str, pair: Callable[[], KeyPair]) -> bool:
    has_public, has_secret = (os.path.exists(key_path(folder, machine, kind)) for kind in (PUBLIC, SECRET))
    if has_public:
        return False
    if not has_secret:
        _write_new(key_path(folder, machine, SECRET), pair().secret)
    # Also where only the public key was lost, or another maker was faster with the secret.
    _write_new(key_path(folder, machine, PUBLIC), zmq.curve_public(read_key(folder, machine, SECRET)))
    return True


def renew_key(folder: str, machine: str, pair: Callable[[], KeyPair] = make_pair) -> None:
    """Replace a machine's pair by a new one, the secret first.

    Until the others have the new public key and the machine its new secret, they refuse each other.
    Raises RefusedError: the machine has no key to renew; MissingError: the folder cannot be written.
    """
    read_key(folder, machine, PUBLIC)
    made = pair()
    try:
        for kind, key in ((SECRET, made.secret), (PUBLIC, made.public)):
            path = key_path(folder, machine, kind)
            os.replace(_draft(path, key), path)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def survey(folder: str, machines: Sequence[str]) -> dict[str, MachineKeys]:
    """Return what is there of the fleet's machines, and of others that have a key; reads nothing secret.

    Raises RefusedError: there is no such folder.
    """
    if not os.path.isdir(folder):
        message = f"there are no keys in `{folder}`"
        raise RefusedError(Fault(folder, "no-keys", message, "`argosy keys make` makes them"))
    names = dict.fromkeys((*machines, *machines_in(folder), *machines_in(folder, SECRET)))
    return {name: _survey_one(folder, name) for name in names}


def _survey_one(folder: str, machine: str) -> MachineKeys:
    has_secret = os.path.exists(key_path(folder, machine, SECRET))
    try:
        public = read_key(folder, machine, PUBLIC)
    except RefusedError:  # `faults_of` tells it
        return MachineKeys("", "", has_secret)
    return MachineKeys(public.decode(), fingerprint(public), has_secret)


def fingerprint(public: bytes) -> str:
    """Return the first 64 bits of SHA-256 of a public key, as hexadecimal in four groups."""
    digest = hashlib.sha256(z85.decode(public)).hexdigest()
    return "-".join(digest[i : i + 4] for i in range(0, 16, 4))


def faults_of(folder: str, machines: Sequence[str]) -> list[Fault]:
    """Return everything that is wrong with a folder of keys: modes, contents, pairs, who is missing."""
    return [
        *_mode_faults(folder),
        *_key_faults(folder, machines),
        *_stranger_faults(folder, machines),
    ]


def _mode_faults(folder: str) -> Iterator[Fault]:
    paths = [(folder, FOLDER_MODE, 0o077)]
    # Everybody may read a public key; who can write one decides who is let in.
    for kind, forbidden in ((PUBLIC, 0o022), (SECRET, 0o077)):
        paths += [(key_path(folder, name, kind), FILE_MODE, forbidden) for name in machines_in(folder, kind)]
    for path, wanted, forbidden in paths:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode & forbidden:
            yield exposed(path, mode, wanted)


def _key_faults(folder: str, machines: Sequence[str]) -> Iterator[Fault]:
    secrets = set(machines_in(folder, SECRET))
    for machine in machines:
        try:
            public = read_key(folder, machine, PUBLIC)
            if machine in secrets and zmq.curve_public(read_key(folder, machine, SECRET)) != public:
                path = key_path(folder, machine, PUBLIC)
                message = f"the public key of `{machine}` does not belong to its secret"
                yield Fault(path, "split-pair", message, f"rm {path}, then `argosy keys make`")
        except RefusedError as error:
            yield from (fault for fault in error.faults if fault.code != "exposed-key")


def _stranger_faults(folder: str, machines: Sequence[str]) -> Iterator[Fault]:
    for name in machines_in(folder):
        if name not in machines:
            path = key_path(folder, name, PUBLIC)
            message = f"`{name}` is let in and is no machine of the fleet file"
            yield Fault(path, "stranger", message, f"rm {path}, unless it is meant")


def lay_out(folder: str, machine: str, target: str) -> tuple[str, ...]:
    """Lay out what one machine needs in a new folder: its secret and all public keys; return the files.

    Raises RefusedError: the secret is not here, or `target` holds something already; MissingError:
    it cannot be written.
    """
    keys = {(machine, SECRET): read_key(folder, machine, SECRET)}
    keys |= {(name, PUBLIC): read_key(folder, name, PUBLIC) for name in machines_in(folder)}
    try:
        if os.path.isdir(target) and os.listdir(target):
            message = f"`{target}` is not empty, and keys are not mixed with what is there"
            hint = f"`-o` names another folder, or `rm -r {target}`"
            raise RefusedError(Fault(target, "not-empty", message, hint))
        os.makedirs(target, FOLDER_MODE, exist_ok=True)
        os.chmod(target, FOLDER_MODE)
        for (name, kind), key in keys.items():
            _write_new(key_path(target, name, kind), key)
    except OSError as error:
        raise _cannot_write(target, error) from error
    return tuple(sorted(name + kind for name, kind in keys))


def _write_new(path: str, key: bytes) -> None:
    """Write a key where there is none; one that has come meanwhile stays."""
    draft = _draft(path, key)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)


def _draft(path: str, key: bytes) -> str:
    draft = f"{path}.{os.getpid()}.new"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, FILE_MODE)
        file.write(key + b"\n")
    return draft


def _cannot_write(folder: str, error: OSError) -> MissingError:
    message = f"`{folder}` cannot be written: {(error.strerror or str(error)).lower()}"
    hint = "ARGOSY_KEYS names another folder for the keys"
    return MissingError(Fault(folder, "no-folder", message, hint))
