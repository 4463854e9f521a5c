"""The manifest of a cell: which agents one process may run, as a file that the engine writes for it.

Which of them are to run now is a datagram with all their names (`MembersUpdate`). It is a level and not an
edge, so that it can be repeated whenever in doubt.
"""

from __future__ import annotations

import os

import msgspec

from argosy.atomic_file import write_if_changed
from argosy.fault import Fault, InputError, MissingError


class CellMemberSpec(msgspec.Struct, frozen=True):
    """One agent of the cell. run: `module:Class`. notify: the path of its sd_notify socket."""

    run: str
    args: tuple[str, ...] = ()
    notify: str = ""


class CellManifest(msgspec.Struct, frozen=True):
    """A cell: its name, its socket for updates, its own notify socket, its agents."""

    cell: str
    socket: str
    notify: str
    members: dict[str, CellMemberSpec] = msgspec.field(name="seats")  # the key of earlier versions


class MembersUpdate(msgspec.Struct, frozen=True):
    """The agents that are to run, in the order in which they were requested; others are stopped."""

    members: tuple[str, ...] = msgspec.field(name="alive")  # the key of earlier versions


_update_decoder: msgspec.json.Decoder[MembersUpdate] = msgspec.json.Decoder(MembersUpdate)


def write_cell_manifest(path: str | os.PathLike[str], manifest: CellManifest) -> None:
    """Write a manifest atomically.

    Raises OSError: the disk is full.
    """
    write_if_changed(path, msgspec.json.encode(manifest))


def read_cell_manifest(path: str | os.PathLike[str]) -> CellManifest:
    """Read a manifest.

    Raises MissingError: the file does not exist; InputError: it is not a manifest.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        fault = Fault(
            str(path), "no-cell-manifest", f"the manifest of the cell cannot be read: {error.strerror}"
        )
        raise MissingError(fault) from error
    try:
        return msgspec.json.decode(data, type=CellManifest)
    except msgspec.DecodeError as error:
        raise InputError(
            Fault(str(path), "bad-cell-manifest", f"this is not the manifest of a cell: {error}")
        ) from error


def encode_members_update(update: MembersUpdate) -> bytes:
    """Return an update as a datagram."""
    return msgspec.json.encode(update)


def decode_members_update(data: bytes) -> MembersUpdate | None:
    """Return the update in a datagram, None for an invalid one."""
    try:
        return _update_decoder.decode(data)
    except msgspec.DecodeError:
        return None
