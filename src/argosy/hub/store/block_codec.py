"""Blocks: lossless compression of consecutive samples of one series, or of their times.

The eight bytes of a double are split into eight *planes*: all lowest bytes, then all second bytes, and so on.
A constant plane (signs, exponents, the low bytes of integers) is stored as one byte; the others are
compressed by zstd, a zstd block each, so that noise in one does not affect the statistics of the next. A
plane that gets smaller by it is delta-encoded first, without carry; if a few values repeat often, the doubles
are compressed as they are.

A Python operation for each sample would dominate the time of a query, so decoding uses none: planes are
slices, and deltas are undone by liblzma's delta filter, fed with uncompressed LZMA2 chunks.

A block is a byte of flags, a bit mask of the planes that follow, a bit mask of those that are deltas, the
number of samples (four bytes, little endian), a byte for each constant plane, and a zstd frame without its
magic number: the delta planes as one sequence, then the others.
"""

from __future__ import annotations

import lzma
import operator
import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import zstandard

_HEADER: Final = struct.Struct("<BBBI")
_ASCENDING: Final = 1  # no value is below the one before it
_RAW: Final = 2  # doubles instead of planes
_DOUBLE_BYTES: Final = 8
_MIN_GAIN: Final = 0.95  # deltas cost decoding time, so they must save this much
_MAX_SAMPLES: Final = 1 << 24  # 128 MiB: a header with more is damaged


def _compressor(level: int) -> zstandard.ZstdCompressor:
    packing = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=1 << 15,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_checksum=0,
        write_content_size=0,
    )
    return zstandard.ZstdCompressor(compression_params=packing)


_fast_compressor: Final = _compressor(3)
_best_compressor: Final = _compressor(9)
_decompressor = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)

_CHUNK: Final = 1 << 16  # the maximum of LZMA2
_DELTA: Final[list[dict[str, Any]]] = [
    {"id": lzma.FILTER_DELTA, "dist": 1},
    {"id": lzma.FILTER_LZMA2, "dict_size": 4096},
]


class DamagedBlockError(ValueError):
    """A block that `encode_block` did not write, or that is truncated."""


def encode_block(values: array[float], *, is_final: bool = False) -> bytes:
    """Return `values` (an array of doubles; NaN and infinities too) as a block.

    is_final: the block is kept for long, so four times the work to save a few percent is worth it.
    """
    compressor = _best_compressor if is_final else _fast_compressor
    raw, count = _to_little_endian(values), len(values)
    ascending = _ASCENDING if all(map(operator.le, values, islice(values, 1, None))) else 0
    planes = [raw[place::_DOUBLE_BYTES] for place in range(_DOUBLE_BYTES)]
    varying = [place for place, plane in enumerate(planes) if plane.count(plane[:1]) < count]
    constant = b"".join(planes[place][:1] for place in range(_DOUBLE_BYTES) if place not in varying)
    delta_planes = [
        place
        for place in varying
        if _compressed_size(_delta_encode(planes[place])) < _MIN_GAIN * _compressed_size(planes[place])
    ]
    others = [planes[place] for place in varying if place not in delta_planes]
    deltas = _delta_encode(b"".join(planes[place] for place in delta_planes))
    frame = _compress(
        compressor, [*(deltas[count * n : count * (n + 1)] for n in range(len(delta_planes))), *others]
    )
    if varying and len(whole := compressor.compress(raw)) < len(frame) + len(constant):
        return _HEADER.pack(ascending | _RAW, 0, 0, count) + whole
    return _HEADER.pack(ascending, _bit_mask(varying), _bit_mask(delta_planes), count) + constant + frame


def decode_block(block: bytes) -> array[float]:
    """Return the values of a block. Raises DamagedBlockError."""
    flags, which, delta_mask, count = _read_header(block)
    if flags & _RAW:
        return _from_little_endian(_decompress(block[_HEADER.size :], count * _DOUBLE_BYTES))
    varying = [place for place in range(_DOUBLE_BYTES) if which >> place & 1]
    begin = _HEADER.size + (_DOUBLE_BYTES - len(varying) if count else 0)
    planes = _decompress(block[begin:], count * len(varying))
    if delta_mask:
        end = count * delta_mask.bit_count()
        planes = _delta_decode(planes[:end]) + planes[end:]
        varying.sort(key=lambda place: not delta_mask >> place & 1)
    constant = iter(block[_HEADER.size : begin])
    values = bytearray(
        bytes(0 if which >> place & 1 else next(constant, 0) for place in range(_DOUBLE_BYTES)) * count
    )
    for number, place in enumerate(varying):
        values[place::_DOUBLE_BYTES] = planes[number * count : (number + 1) * count]
    return _from_little_endian(values)


def is_ascending(block: bytes) -> bool:
    """Return whether no value of a block is below the one before it, without decoding it."""
    return bool(_read_header(block)[0] & _ASCENDING)


def _read_header(block: bytes) -> tuple[int, int, int, int]:
    if len(block) < _HEADER.size:
        raise DamagedBlockError(f"a block has at least {_HEADER.size} bytes, this one has {len(block)}")
    flags, which, delta_mask, count = _HEADER.unpack_from(block)
    if count > _MAX_SAMPLES or flags & ~(_ASCENDING | _RAW) or delta_mask & ~which:
        raise DamagedBlockError(f"invalid block header: flags {flags} and {count} samples")
    return flags, which, delta_mask, count


def _bit_mask(places: Sequence[int]) -> int:
    return sum(1 << place for place in places)


def _compressed_size(plane: bytes) -> int:
    return len(_fast_compressor.compress(plane))


def _delta_encode(plane: bytes) -> bytes:
    """Return each byte minus the one before it, computed on every other byte so that none borrows."""
    size = len(plane)
    low = int.from_bytes(b"\xff\x00" * (size // 2 + 1), "little")
    borrow = low // 0xFF << 8
    number = int.from_bytes(plane, "little")
    before = number << 8
    even = ((number & low | borrow) - (before & low)) & low
    odd = ((number >> 8 & low | borrow) - (before >> 8 & low)) & low
    return (even | odd << 8).to_bytes(size + 3, "little")[:size]


def _delta_decode(deltas: bytes) -> bytes:
    """Undo `_delta_encode`."""
    stream = bytearray()
    for first in range(0, len(deltas), _CHUNK):
        chunk = deltas[first : first + _CHUNK]
        stream += (b"\x02" if first else b"\x01") + (len(chunk) - 1).to_bytes(2, "big") + chunk
    return lzma.decompress(bytes(stream) + b"\x00", format=lzma.FORMAT_RAW, filters=_DELTA)


def _compress(compressor: zstandard.ZstdCompressor, planes: Sequence[bytes]) -> bytes:
    compress_stream = compressor.compressobj()
    frame = bytearray()
    for plane in planes:
        frame += compress_stream.compress(plane) + compress_stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return bytes(frame + compress_stream.flush())


def _decompress(frame: bytes, size: int) -> bytes:
    try:
        raw: bytes = _decompressor.decompress(frame, max_output_size=size or 1)
    except zstandard.ZstdError as error:
        raise DamagedBlockError(f"a block's frame cannot be decompressed: {error}") from None
    if len(raw) != size:
        raise DamagedBlockError(f"a block should have {size} bytes and has {len(raw)}")
    return raw


def _to_little_endian(values: array[float]) -> bytes:
    if sys.byteorder == "little":
        return values.tobytes()
    swapped = values[:]
    swapped.byteswap()
    return swapped.tobytes()


def _from_little_endian(raw: bytes | bytearray) -> array[float]:
    values = array("d", raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values
