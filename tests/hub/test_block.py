"""Blocks: whatever doubles go in come out bit by bit, and what is no block is told as such."""

from __future__ import annotations

import math
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.hub.block import DamagedBlockError, pack, unpack

DOUBLES = st.lists(st.floats(width=64), max_size=400)
COUNTERS = st.lists(st.integers(0, 1000), max_size=400)
ROUNDED = st.lists(st.decimals(-1000, 1000, places=3), max_size=400)


@given(DOUBLES)
def test_any_doubles_come_back_bit_by_bit(values: list[float]) -> None:
    packed = array("d", values)
    assert unpack(pack(packed)).tobytes() == packed.tobytes()


@given(COUNTERS, st.integers(-(2**52), 2**52))
def test_counters_come_back(steps: list[int], start: int) -> None:
    values, total = array("d"), start
    for step in steps:
        total += step
        values.append(total)
    assert unpack(pack(values)) == values


@given(ROUNDED)
def test_rounded_gauges_come_back(values: list[object]) -> None:
    packed = array("d", [float(str(value)) for value in values])
    assert unpack(pack(packed)).tobytes() == packed.tobytes()


@pytest.mark.parametrize("value", [-0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7e308, 2.0**53 + 2, 1e-7])
def test_odd_numbers_among_whole_ones_come_back(value: float) -> None:
    values = array("d", [1.0] * 20 + [value] + [2.0] * 20)
    assert unpack(pack(values)).tobytes() == values.tobytes()


def test_a_counter_and_a_rounded_gauge_take_a_fraction_of_their_bytes() -> None:
    counter = array("d", [7 * number for number in range(300)])
    gauge = array("d", [round(20 + math.sin(number / 20), 2) for number in range(300)])
    assert len(pack(counter)) < 60
    assert len(pack(gauge)) < 300


@given(st.binary(max_size=200))
def test_random_bytes_are_told(noise: bytes) -> None:
    try:
        unpack(noise)
    except DamagedBlockError:
        pass


@given(DOUBLES, st.data())
def test_a_block_that_was_cut_is_told(values: list[float], data: st.DataObject) -> None:
    block = pack(array("d", values))
    kept = data.draw(st.integers(0, len(block) - 1))
    with pytest.raises(DamagedBlockError):
        unpack(block[:kept])


def test_a_head_that_says_more_than_memory_has_is_told() -> None:
    with pytest.raises(DamagedBlockError, match="no block begins with"):
        unpack(struct.pack("<BI", 0x80, 2**32 - 1) + pack(array("d"))[5:])
