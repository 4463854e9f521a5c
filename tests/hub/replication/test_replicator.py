"""Hubs that are cut off and killed: what was acknowledged is with all of them, once and in order."""

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
def test_nothing_acknowledged_is_lost_or_there_twice(seed: int, count: int) -> None:
    account = account_of(seed, 6.0, count)
    assert {fault: account[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0), account
    assert account["acknowledged"]


@pytest.mark.slow
def test_the_checker_finds_a_hub_that_acknowledges_before_it_has_written() -> None:
    account = account_of(0, 6.0, 2, broken=True)
    assert account["lost"], account
