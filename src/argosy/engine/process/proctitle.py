"""The command line and environment that the kernel shows of this process, as after an exec.

`ps` and /proc/PID/environ read memory that only an exec writes. prctl(2) PR_SET_MM_MAP points the
kernel to other memory of this process; it needs no privilege (Linux 3.18, CONFIG_CHECKPOINT_RESTORE).
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PR_SET_MM = 35
_PR_SET_MM_MAP = 14
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
