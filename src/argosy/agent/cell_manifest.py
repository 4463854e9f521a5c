"""The roll of a cell: which agents one process may carry, as a file that the engine writes for it.

Who of them is to live just now is told in another way (`Call`): a datagram with all their names.
It is a level and not an edge, so that it can be said again whenever in doubt.
"""

from __future__ import annotations

import os

import msgspec

from argosy.fault import Fault, InputError, MissingError
from argosy.wire.atomic_file import write_atomic


class CellMemberSpec(msgspec.Struct, frozen=True):
    """One agent of the cell. run: `module:Class`. notify: the path of its sd_notify socket."""

    run: str
    args: tuple[str, ...] = ()
    notify: str = ""


class CellManifest(msgspec.Struct, frozen=True):
    """A cell: its name, where it takes calls, its own notify socket, its agents."""

    cell: str
    socket: str
    notify: str
    members: dict[str, CellMemberSpec]


class MembersUpdate(msgspec.Struct, frozen=True):
    """The agents that are to live, in the order in which they were asked for; those not named shall end."""

    members: tuple[str, ...]


_update_decoder: msgspec.json.Decoder[MembersUpdate] = msgspec.json.Decoder(MembersUpdate)


def write_cell_manifest(path: str | os.PathLike[str], manifest: CellManifest) -> None:
    """Write a roll so that its reader sees the old one or the new one.

    Raises OSError: the disk is full.
    """
    write_atomic(path, msgspec.json.encode(manifest))


def read_cell_manifest(path: str | os.PathLike[str]) -> CellManifest:
    """Read a roll.

    Raises MissingError: there is no such file; InputError: it is none.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        fault = Fault(str(path), "no-roll", f"the roll of the cell cannot be read: {error.strerror}")
        raise MissingError(fault) from error
    try:
        return msgspec.json.decode(data, type=CellManifest)
    except msgspec.DecodeError as error:
        raise InputError(Fault(str(path), "bad-roll", f"this is not the roll of a cell: {error}")) from error


def encode_members_update(update: MembersUpdate) -> bytes:
    """Return a call as a datagram."""
    return msgspec.json.encode(update)


def decode_members_update(data: bytes) -> MembersUpdate | None:
    """Return the call in a datagram, None where it holds none."""
    try:
        return _update_decoder.decode(data)
    except msgspec.DecodeError:
        return None
