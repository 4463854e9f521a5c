"""Runs a command in the file system of an image, without a container engine.

`python -m argosy.image.build.sandbox JSON` is run by `unshare` as the first process of new namespaces. It
mounts the layers as a read-only root, drops all privileges, and executes the command as the image's user.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from argosy.image.runtime.image_paths import RUNTIME_DIR, STATE_DIR, TEMP_DIR, USER_ID

_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 5, 1 << 12, 1 << 14, 1 << 18
_PR_SET_NO_NEW_PRIVS: Final = 38
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")


class SandboxConfig(msgspec.Struct, frozen=True):
    """The root file system and the process of a sandbox.

    layers: folders with the same parent, the lowest first; a single one is mounted as it is. root: an empty
    folder to mount them at. command, variables, folder: of the process. state: a folder for the state
    directory; empty: a temporary one. hosts: names and addresses for `/etc/hosts`.
    """

    layers: tuple[str, ...]
    root: str
    command: tuple[str, ...]
    variables: dict[str, str]
    folder: str = "/"
    state: str = ""
    hosts: dict[str, str] = {}


def sandbox_command(config: SandboxConfig) -> list[str]:
    """Return the command that runs a sandbox with a loopback interface only; it ends with its parent."""
    # `--kill-child` ends the sandbox with `unshare`, and this ends `unshare` with a killed parent.
    kill_with_parent = ["setpriv", "--pdeathsig", "KILL"]
    unshare = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child"]
    return [
        *kill_with_parent,
        *unshare,
        sys.executable,
        "-m",
        "argosy.image.build.sandbox",
        msgspec.json.encode(config).decode(),
    ]


def main(argv: Sequence[str]) -> None:
    """Execute the command of a sandbox in place of this process."""
    config = msgspec.json.decode(argv[0], type=SandboxConfig)
    _enable_loopback()
    _mount_all(config)
    os.chroot(config.root)
    os.chdir(config.folder)
    os.setgroups([])
    os.setresgid(USER_ID, USER_ID, USER_ID)
    os.setresuid(USER_ID, USER_ID, USER_ID)
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execvpe(config.command[0], list(config.command), config.variables)


def _mount_all(config: SandboxConfig) -> None:
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    root = config.root
    if len(config.layers) == 1:
        _mount(config.layers[0], root, None, _MS_BIND)
        _mount("none", root, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY)
    else:
        # Without an upper folder an overlay is read-only. Mount options are limited to one page, so layers
        # are named relative to their parent folder.
        os.chdir(os.path.dirname(config.layers[0]))
        lower = ":".join(os.path.basename(layer) for layer in reversed(config.layers))
        _mount("overlay", root, "overlay", _MS_RDONLY, f"lowerdir={lower}")
    _mount("proc", f"{root}/proc", "proc", _MS_NOSUID)
    _mount("tmpfs", f"{root}/dev", "tmpfs", _MS_NOSUID, "mode=0755")
    for name in _DEVICES:
        open(f"{root}/dev/{name}", "w").close()
        _mount(f"/dev/{name}", f"{root}/dev/{name}", None, _MS_BIND)
    os.mkdir(f"{root}/dev/shm")
    _mount("tmpfs", f"{root}/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
    with open(f"{root}/dev/.hosts", "w") as file:
        file.writelines(
            f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **config.hosts}.items()
        )
    _mount(f"{root}/dev/.hosts", f"{root}/etc/hosts", None, _MS_BIND)
    for path in (RUNTIME_DIR, TEMP_DIR, *(() if config.state else (STATE_DIR,))):
        options = f"uid={USER_ID},gid={USER_ID},mode=0700"
        _mount("tmpfs", f"{root}{path}", "tmpfs", _MS_NOSUID | _MS_NODEV, options)
    if config.state:
        _mount(config.state, f"{root}{STATE_DIR}", None, _MS_BIND)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    result = _libc().mount(
        source.encode(), target.encode(), kind.encode() if kind else None, flags, options.encode() or None
    )
    if result != 0:
        error_number = ctypes.get_errno()
        raise OSError(error_number, f"mount {kind or 'bind'}: {os.strerror(error_number)}", target)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _enable_loopback() -> None:
    """Enable the loopback interface of a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(query, _SIOCGIFFLAGS, request))[1]
        if not flags & _IFF_UP:
            fcntl.ioctl(query, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


if __name__ == "__main__":
    main(sys.argv[1:])
