"""A control group in the kernel's own hierarchy, where this machine lets one be made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def made_group() -> Iterator[Path]:
    """Make a group; fails when a process is left in it or below. Skips where none can be made."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    point = next((point for point, kind in mounts if kind == "cgroup2"), None)
    if point is None:
        pytest.skip("no cgroup2 is mounted")
    root = Path(point, f"argosy-test-{os.getpid()}")
    try:
        root.mkdir()
    except OSError as error:
        pytest.skip(f"no group can be made: {error}")
    try:
        yield root
    finally:
        for below in [*root.glob("*/"), root]:
            below.rmdir()
