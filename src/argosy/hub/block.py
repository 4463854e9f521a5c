"""A block: a run of samples of one series, or of the times of a run, in few bytes and without loss.

Numbers that are whole once they are multiplied by a power of ten (counters, times, rounded gauges) are kept
as the zigzag differences of neighbours; all others as the exclusive or of neighbours, as in Gorilla (Pelkonen
et al., VLDB 2015). Either way the bytes are then transposed, all lowest bytes first, so that those that
hardly change stand together, and compressed by zstd.

A block is one byte that says how it was made, the number of samples (four bytes, little endian), and a zstd
frame without its magic number.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from typing import Final

import zstandard

_HEAD: Final = struct.Struct("<BI")
_XOR: Final = 0x80
_TEN: Final = (
    1.0,
    10.0,
    100.0,
    1000.0,
    1e6,
)  # what a block of differences was multiplied by, by its first byte
_LARGEST: Final = 2.0**53  # above it not every whole number is a double
_WORD: Final = 8
_TRIAL: Final = 8
_MOST_SAMPLES: Final = 1 << 24  # 128 MiB: a head that says more is damaged

_packing = zstandard.ZstdCompressionParameters.from_level(
    9, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_checksum=0, write_content_size=0
)
_compressor = zstandard.ZstdCompressor(compression_params=_packing)
_decompressor = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)


class DamagedBlockError(ValueError):
    """A block that was not made by `pack`, or not all of it."""


def pack(values: array[float]) -> bytes:
    """Return `values` (an array of doubles; NaN and infinities too) as a block."""
    raw = _little(values)
    for power, ten in enumerate(_TEN):
        whole = _whole(values, ten, raw)
        if whole is not None:
            return _HEAD.pack(power, len(values)) + _squeeze(_differences(whole))
    return _HEAD.pack(_XOR, len(values)) + _squeeze(_crossed(raw))


def unpack(block: bytes) -> array[float]:
    """Return what was packed; raises DamagedBlockError."""
    if len(block) < _HEAD.size:
        raise DamagedBlockError(f"a block has at least {_HEAD.size} bytes, this one {len(block)}")
    how, count = _HEAD.unpack_from(block)
    if count > _MOST_SAMPLES or (how != _XOR and how >= len(_TEN)):
        raise DamagedBlockError(f"no block begins with kind {how} and {count} samples")
    raw = _unsqueezed(block[_HEAD.size :], count * _WORD)
    if how == _XOR:
        return _doubles(_uncrossed(raw))
    ten, total, values = _TEN[how], 0, array("d")
    for code in _words(raw):
        total += (code >> 1) ^ -(code & 1)
        values.append(total / ten)
    return values


def _whole(values: array[float], ten: float, raw: bytes) -> list[int] | None:
    """Return the values times `ten` as whole numbers, or None where they would not come back bit by bit."""
    if not all(math.isfinite(value) and abs(value * ten) <= _LARGEST for value in values[:_TRIAL]):
        return None
    if any(round(value * ten) / ten != value for value in values[:_TRIAL]):
        return None  # as most are that will not: no need to try them all
    try:
        whole = [round(value * ten) for value in values]
    except (ValueError, OverflowError):  # NaN, infinity
        return None
    if any(not -_LARGEST <= number <= _LARGEST for number in whole):
        return None
    back = array("d", [number / ten for number in whole])
    return whole if _little(back) == raw else None


def _differences(whole: list[int]) -> bytes:
    """Return the zigzag differences of neighbours, eight bytes each."""
    codes = array("Q")
    before = 0
    for number in whole:
        step = number - before
        codes.append(step << 1 if step >= 0 else (-step << 1) - 1)
        before = number
    if sys.byteorder == "big":
        codes.byteswap()
    return codes.tobytes()


def _crossed(raw: bytes) -> bytes:
    """Return each word's exclusive or with the word before it, all at once as one number."""
    number = int.from_bytes(raw, "little")
    mask = (1 << (8 * len(raw))) - 1
    return (number ^ (number << 64) & mask).to_bytes(len(raw), "little")


def _uncrossed(raw: bytes) -> bytes:
    """Undo `_crossed`: every word becomes the exclusive or of all up to it, in log2 steps."""
    number, bits = int.from_bytes(raw, "little"), 8 * len(raw)
    mask, shift = (1 << bits) - 1, 64
    while shift < bits:
        number ^= (number << shift) & mask
        shift *= 2
    return number.to_bytes(len(raw), "little")


def _squeeze(words: bytes) -> bytes:
    return _compressor.compress(b"".join(words[place::_WORD] for place in range(_WORD)))


def _unsqueezed(frame: bytes, size: int) -> bytes:
    try:
        planes = _decompressor.decompress(frame, max_output_size=size or 1)
    except zstandard.ZstdError as error:
        raise DamagedBlockError(f"a block's frame cannot be read: {error}") from None
    if len(planes) != size:
        raise DamagedBlockError(f"a block that says {size} bytes has {len(planes)}")
    words, run = bytearray(size), size // _WORD
    for place in range(_WORD):
        words[place::_WORD] = planes[place * run : (place + 1) * run]
    return bytes(words)


def _little(values: array[float]) -> bytes:
    if sys.byteorder == "little":
        return values.tobytes()
    turned = values[:]
    turned.byteswap()
    return turned.tobytes()


def _doubles(raw: bytes) -> array[float]:
    values = array("d", raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _words(raw: bytes) -> array[int]:
    words = array("Q", raw)
    if sys.byteorder == "big":
        words.byteswap()
    return words
