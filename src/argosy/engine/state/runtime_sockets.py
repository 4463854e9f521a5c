"""The sockets in a fleet's runtime directory: whether a process listens, and removal of dead ones.

The manifests of its cells are in the same directory, and are removed with the last socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CREDENTIALS = struct.Struct("3i")
_SOCKET_DIRS = ("notify", "z")
_MANIFEST_DIR = "cell"


def find_sockets(runtime: Path) -> Iterator[Path]:
    """Yield the socket files of a runtime directory."""
    for directory in (runtime, *(runtime / name for name in _SOCKET_DIRS)):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in sorted(directory.iterdir()):
                if stat.S_ISSOCK(path.lstat().st_mode):
                    yield path


def find_cell_manifests(runtime: Path) -> Iterator[Path]:
    """Yield the cell manifests in a runtime directory, including partly written ones."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted((runtime / _MANIFEST_DIR).iterdir()):
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def is_listening(path: Path) -> bool:
    """Return whether the socket file is bound by a running process, without disturbing it.

    Connecting a datagram socket to a stream socket fails with EPROTOTYPE before the listener notices,
    and with ECONNREFUSED if nobody has it bound (unix(7)).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        try:
            client.connect(str(path))
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def peer_credentials(channel: socket.socket) -> tuple[int, int]:
    """Return pid and uid of the peer of a stream; of a listener, those of the process that created it."""
    option = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(option)
    return pid, uid


def remove_dead_sockets(runtime: Path) -> None:
    """Remove the sockets without a listener, such as those of killed agents, and empty directories."""
    for path in find_sockets(runtime):
        if not is_listening(path):
            path.unlink(missing_ok=True)
    if not any(find_sockets(runtime)):
        for path in find_cell_manifests(runtime):
            path.unlink(missing_ok=True)
    for directory in (*(runtime / name for name in (*_SOCKET_DIRS, _MANIFEST_DIR)), runtime):
        with contextlib.suppress(OSError):  # it is not empty
            os.rmdir(directory)
