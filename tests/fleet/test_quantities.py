"""Quantities: durations and sizes, parsed and formatted."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fault import InputError
from argosy.fleet.fleet_spec import DURATION_PATTERN, SIZE_PATTERN
from argosy.fleet.quantities import format_duration, format_size, parse_duration_s, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("5m", 300), ("1.5h", 5400), ("2d", 172800), ("0s", 0)]
)
def test_parse_duration_reads_units(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@given(st.floats(0, 1e300))
def test_formatted_duration_round_trips_exactly(seconds: float) -> None:
    assert re.fullmatch(DURATION_PATTERN, format_duration(seconds))
    assert parse_duration_s(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(10.0, "10s"), (0.5, "0.5s"), (1e6, "1000000s"), (1e-7, "0.0000001s")]
)
def test_format_duration_is_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("2KiB", 2048), ("1.5GiB", 1610612736), ("2GB", 2_000_000_000), ("1TiB", 2**40)],
)
def test_parse_size_reads_units(text: str, size: int) -> None:
    assert parse_size_bytes(text) == size


@given(st.text(alphabet="0123456789.smhdKMGTiB -+e", max_size=8))
def test_schema_patterns_match_parsers(text: str) -> None:
    for pattern, parse in ((DURATION_PATTERN, parse_duration_s), (SIZE_PATTERN, parse_size_bytes)):
        if re.fullmatch(pattern, text):
            assert parse(text) >= 0
        else:
            with pytest.raises(InputError):
                parse(text)


@pytest.mark.parametrize(
    ("size", "text"), [(512, "512 B"), (2048, "2 KiB"), (24 * 2**30, "24 GiB"), (1610612736, "1.5 GiB")]
)
def test_format_size_is_readable(size: int, text: str) -> None:
    assert format_size(size) == text
