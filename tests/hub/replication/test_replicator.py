"""Replication: hubs that are cut off and killed lose, repeat and reorder no acknowledged record."""

from __future__ import annotations

import pytest

from rig.lan import NoLanError

from ..trial import FAULTS, run


def account_of(seed: int, seconds: float, count: int, *, broken: bool = False) -> dict[str, object]:
    try:
        return run(seed, seconds, count, broken=broken)
    except NoLanError as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "count"), [(0, 2), (1, 3)])
def test_replication_neither_loses_nor_duplicates_acknowledged_records(seed: int, count: int) -> None:
    account = account_of(seed, 6.0, count)
    assert {fault: account[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0), account
    assert account["acknowledged"]


@pytest.mark.slow
def test_checker_detects_hub_that_acknowledges_before_writing() -> None:
    account = account_of(0, 6.0, 2, broken=True)
    assert account["lost"], account
