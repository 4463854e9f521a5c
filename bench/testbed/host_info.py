"""The machine that a bench ran on; results of two machines are never compared."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import zmq


class Machine(msgspec.Struct, frozen=True):
    """cores: the cores that this process may use. load: the one-minute load average before the bench."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    pyzmq: str
    libzmq: str
    loop: str
    load: float


def this_machine() -> Machine:
    """Describe this machine and interpreter."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release(),
        python=platform.python_version(),
        pyzmq=zmq.__version__,
        libzmq=zmq.zmq_version(),
        loop=_loop(),
        load=round(os.getloadavg()[0], 2),
    )


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _loop() -> str:
    try:
        return f"uvloop {version('uvloop')}"
    except PackageNotFoundError:
        return "asyncio"
