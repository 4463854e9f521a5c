"""The sockets in a fleet's runtime folder: whether anybody listens, and the removal of the dead ones.

The rolls of its cells lie beside them, and go with the last of them.
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
    """Yield the socket files of a runtime folder."""
    for folder in (runtime, *(runtime / name for name in _SOCKET_DIRS)):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in sorted(folder.iterdir()):
                if stat.S_ISSOCK(path.lstat().st_mode):
                    yield path


def find_cell_manifests(runtime: Path) -> Iterator[Path]:
    """Yield the rolls of cells in a runtime folder, and those half written."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted((runtime / _MANIFEST_DIR).iterdir()):
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def is_listening(path: Path) -> bool:
    """Return whether the socket file is bound by a living process; it is not disturbed.

    A datagram socket is refused by a stream socket (EPROTOTYPE) before that hears of it, and by
    nobody with ECONNREFUSED (unix(7)).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        try:
            client.connect(str(path))
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def peer_credentials(channel: socket.socket) -> tuple[int, int]:
    """Return pid and uid of the process at the other end of a stream; of a listener, who made it listen."""
    option = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(option)
    return pid, uid


def remove_dead_sockets(runtime: Path) -> None:
    """Remove the sockets that nobody listens on, such as those of killed agents, and folders left empty."""
    for path in find_sockets(runtime):
        if not is_listening(path):
            path.unlink(missing_ok=True)
    if not any(find_sockets(runtime)):
        for path in find_cell_manifests(runtime):
            path.unlink(missing_ok=True)
    for folder in (*(runtime / name for name in (*_SOCKET_DIRS, _MANIFEST_DIR)), runtime):
        with contextlib.suppress(OSError):  # somebody is in it
            os.rmdir(folder)
