"""A small fleet for each test that requests it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launch import LittleFleet, little_fleet


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleFleet]:
    with little_fleet() as made:
        monkeypatch.setenv("ARGOSY_BOOK", str(made.path))
        yield made
