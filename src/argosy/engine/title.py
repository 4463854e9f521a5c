"""The command line and environment that the kernel shows of this process, as after an exec.

`ps` and /proc/PID/environ read memory that only an exec writes. prctl(2) PR_SET_MM_MAP points the
kernel to other memory of this process; it needs no privilege (Linux 3.18, CONFIG_CHECKPOINT_RESTORE).
"""

from __future__ import annotations

import ctypes
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


class _Map(ctypes.Structure):
    """struct prctl_mm_map of linux/prctl.h."""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("start_code", "end_code", "start_data", "end_data")),
        *((name, ctypes.c_uint64) for name in ("start_brk", "brk", "start_stack")),
        *((name, ctypes.c_uint64) for name in ("arg_start", "arg_end", "env_start", "env_end")),
        ("auxv", ctypes.c_void_p),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_uint32),
    ]


def show_as(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Have the kernel show this command line and environment; return whether it does."""
    words = b"".join(os.fsencode(word) + b"\0" for word in argv)
    variables = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in env.items())
    memory = ctypes.create_string_buffer(words + variables)
    start = ctypes.addressof(memory)
    middle = start + len(words)
    if not _set(start, middle, middle + len(variables)):
        return False
    # Shown as long as the process lives, also while the interpreter takes itself apart.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    return True


def _set(start: int, middle: int, end: int) -> bool:
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sbrk.restype = ctypes.c_void_p
    wanted = _Map(
        start_code=int(fields[_START_CODE]),
        end_code=int(fields[_END_CODE]),
        start_data=int(fields[_START_DATA]),
        end_data=int(fields[_END_DATA]),
        start_brk=int(fields[_START_BRK]),
        brk=libc.sbrk(0),
        start_stack=int(fields[_START_STACK]),
        arg_start=start,
        arg_end=middle,
        env_start=middle,
        env_end=end,
        exe_fd=_NO_DESCRIPTOR,
    )
    size = ctypes.c_ulong(ctypes.sizeof(wanted))
    return bool(libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, ctypes.byref(wanted), size, 0) == 0)
