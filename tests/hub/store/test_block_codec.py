"""Block codec: doubles round-trip bit by bit, and damaged blocks are rejected."""

from __future__ import annotations

import itertools
import math
import random
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.hub.store.block_codec import DamagedBlockError, decode_block, encode_block, is_ascending

DOUBLES = st.lists(st.floats(width=64), max_size=400)
COUNTERS = st.lists(st.integers(0, 1000), max_size=400)
ROUNDED = st.lists(st.decimals(-1000, 1000, places=3), max_size=400)


@given(DOUBLES, st.booleans())
def test_block_codec_round_trips_any_doubles(values: list[float], is_final: bool) -> None:
    packed = array("d", values)
    assert decode_block(encode_block(packed, is_final=is_final)).tobytes() == packed.tobytes()


@given(COUNTERS, st.integers(-(2**52), 2**52))
def test_block_codec_round_trips_counters(steps: list[int], start: int) -> None:
    values, total = array("d"), start
    for step in steps:
        total += step
        values.append(total)
    assert decode_block(encode_block(values)) == values


@given(ROUNDED)
def test_block_codec_round_trips_rounded_gauges(values: list[object]) -> None:
    packed = array("d", [float(str(value)) for value in values])
    assert decode_block(encode_block(packed, is_final=True)).tobytes() == packed.tobytes()


@pytest.mark.parametrize("value", [-0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7e308, 2.0**53 + 2, 1e-7])
def test_block_codec_round_trips_special_values_among_integers(value: float) -> None:
    values = array("d", [1.0] * 20 + [value] + [2.0] * 20)
    assert decode_block(encode_block(values)).tobytes() == values.tobytes()


def test_block_codec_compresses_one_hour_of_typical_metrics() -> None:
    chance = random.Random(1)
    still = array("d", [42.5] * 3600)
    counter = array("d", itertools.accumulate(chance.randrange(8) for _ in range(3600)))
    gauge = array("d", [round(20 + chance.choice([0, 0, 0, 0.1, 0.2]), 1) for _ in range(3600)])
    times = array(
        "d", itertools.accumulate((1000 + chance.randrange(3) for _ in range(3600)), initial=1.7e12)
    )
    noise = array("d", [chance.lognormvariate(-7, 0.5) for _ in range(3600)])
    sizes = [len(encode_block(each, is_final=True)) / 3600 for each in (still, counter, gauge, times, noise)]
    assert [size < most for size, most in zip(sizes, (0.01, 0.7, 0.5, 0.5, 6.8), strict=True)] == [
        True
    ] * 5, sizes


@given(DOUBLES, COUNTERS)
def test_is_ascending_reports_whether_block_values_never_fall(values: list[float], steps: list[int]) -> None:
    for each in (values, list(itertools.accumulate(steps))):
        block = encode_block(array("d", each))
        assert is_ascending(block) == all(a <= b for a, b in itertools.pairwise(each))


@given(st.binary(max_size=200))
def test_decode_block_raises_only_damaged_block_error_for_random_bytes(noise: bytes) -> None:
    try:
        decode_block(noise)
    except DamagedBlockError:
        pass


@given(DOUBLES, st.data())
def test_decode_block_rejects_truncated_block(values: list[float], data: st.DataObject) -> None:
    block = encode_block(array("d", values))
    kept = data.draw(st.integers(0, len(block) - 1))
    with pytest.raises(DamagedBlockError):
        decode_block(block[:kept])


def test_decode_block_rejects_header_with_excessive_count() -> None:
    with pytest.raises(DamagedBlockError, match="invalid block header"):
        decode_block(struct.pack("<BBBI", 0, 1, 0, 2**32 - 1) + encode_block(array("d"))[7:])
