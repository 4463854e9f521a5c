"""CPU pressure: which agent starts first, and when another one may start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.admission.cpu_pressure import (
    CpuPressure,
    can_start_another,
    dependent_chain_lengths,
    read_cpu_pressure,
)

CALM, BUSY = CpuPressure(2, 0), CpuPressure(2, 50)


@pytest.mark.parametrize(
    ("ages", "most", "pressure", "expected"),
    [
        ([], None, BUSY, True),  # something always goes on, whatever else the machine does
        ([0.1, 0.1, 0.1], None, BUSY, True),
        ([0.1, 0.1, 0.1, 0.1], None, BUSY, False),
        ([0.1] * 80, None, CALM, True),  # they wait for something that is no processor
        ([30.0] * 80, None, BUSY, True),  # slow ones hold nobody back for ever
        ([30.0] * 3, 3, CALM, False),  # a fixed number, for those who ask
        ([30.0] * 2, 3, CALM, True),
    ],
)
def test_start_is_admitted_by_age_limit_and_cpu_pressure(
    ages: list[float], most: int | None, pressure: CpuPressure, expected: bool
) -> None:
    assert can_start_another(ages, most, pressure) is expected


def test_cpu_pressure_is_read_from_machine() -> None:
    pressure = read_cpu_pressure()
    assert pressure.processors >= 1
    assert pressure.runnable >= 0


@given(st.data())
def test_dependent_chain_lengths_match_recursion(data: st.DataObject) -> None:
    names = [f"N{number}" for number in range(data.draw(st.integers(0, 10)))]
    needs = {
        name: data.draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else []
        for at, name in enumerate(names)
    }

    def longest(name: str) -> int:
        return 1 + max((longest(other) for other, needed in needs.items() if name in needed), default=0)

    assert dependent_chain_lengths(needs) == {name: longest(name) for name in names}


def test_dependent_chain_lengths_skip_needs_on_other_machines() -> None:
    assert dependent_chain_lengths({"A": ["on another machine"], "B": ["A"]}) == {"A": 2, "B": 1}
