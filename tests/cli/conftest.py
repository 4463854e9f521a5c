"""Fixture `rig`: a separate fleet for each test (see `rig.fleet`)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.fleet import ARGOSY, SPEAKER, Rig, is_alive

__all__ = ["ARGOSY", "SPEAKER", "Rig", "is_alive", "rig"]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A fleet of one's own; nothing of it is left after the test."""
    runtime = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))  # short: socket paths are
    made = Rig(tmp_path, runtime)
    yield made
    made.close()
    shutil.rmtree(runtime)
