"""What a process asks of the kernel for itself by prctl(2): its end with its parent, orphans, its title.

`ps` and /proc/PID/environ read memory that only an exec writes. PR_SET_MM_MAP points the kernel to other
memory of this process; it needs no privilege (Linux 3.18, CONFIG_CHECKPOINT_RESTORE).
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG = 1
_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_PR_SET_CHILD_SUBREAPER = 36
_NO_DESCRIPTOR = 0xFFFFFFFF
# proc_pid_stat(5), numbered from the state, which is field 3.
_START_CODE, _END_CODE, _START_STACK = 23, 24, 25
_START_DATA, _END_DATA, _START_BRK = 42, 43, 44


class _PrctlMmMap(ctypes.Structure):
    """struct prctl_mm_map of linux/prctl.h."""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("start_code", "end_code", "start_data", "end_data")),
        *((name, ctypes.c_uint64) for name in ("start_brk", "brk", "start_stack")),
        *((name, ctypes.c_uint64) for name in ("arg_start", "arg_end", "env_start", "env_end")),
        ("auxv", ctypes.c_void_p),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_uint32),
    ]


_libc = ctypes.CDLL(None, use_errno=True)
_libc.sbrk.restype = ctypes.c_void_p


def fork_dependent() -> int:
    """Fork a child that ends with this process, also while it is stopped; returns what os.fork returns.

    Raises OSError: there can be no more processes.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent ended before the kernel knew
    return pid


def outlive_parent() -> None:
    """In a child of `fork_dependent`: no longer end with the parent."""
    _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def adopt_orphans() -> None:
    """Make this process, instead of init, the parent of its descendants whose parent exits."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_process_title(argv: Sequence[str], env: Mapping[bytes, bytes]) -> bool:
    """Make the kernel show this command line and environment; return whether it does."""
    command_line = b"\0".join([*map(os.fsencode, argv), b""])
    variables = b"\0".join([*map(b"=".join, env.items()), b""])
    memory = command_line + variables
    wanted = _current_memory_map()
    wanted.brk = _libc.sbrk(0)
    wanted.arg_start = ctypes.cast(ctypes.c_char_p(memory), ctypes.c_void_p).value
    wanted.arg_end = wanted.env_start = wanted.arg_start + len(command_line)
    wanted.env_end = wanted.env_start + len(variables)
    size = ctypes.c_ulong(ctypes.sizeof(wanted))
    if _libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, ctypes.byref(wanted), size, 0) != 0:
        return False
    keep_forever(memory)
    return True


def keep_forever(obj: object) -> None:
    """Keep an object alive until the process exits, even during interpreter shutdown."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(obj))


@functools.cache
def _current_memory_map() -> _PrctlMmMap:
    """Return the memory map of this program, which is the same in every process forked from it."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return _PrctlMmMap(
        start_code=int(fields[_START_CODE]),
        end_code=int(fields[_END_CODE]),
        start_data=int(fields[_START_DATA]),
        end_data=int(fields[_END_DATA]),
        start_brk=int(fields[_START_BRK]),
        start_stack=int(fields[_START_STACK]),
        exe_fd=_NO_DESCRIPTOR,
    )
