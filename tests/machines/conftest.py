"""Two machines for a test; where no namespaces can be made, the test is skipped with the reason."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.duo import Duo
from rig.lan import NoLanError


@pytest.fixture
def duo() -> Iterator[Duo]:
    """Two machines, `one` and `two`, with keys."""
    root = Path(tempfile.mkdtemp(prefix="argosy-d-", dir="/tmp"))  # short: socket paths are
    try:
        made = Duo(root)
    except NoLanError as reason:
        pytest.skip(str(reason))
    try:
        yield made
    finally:
        made.close()
