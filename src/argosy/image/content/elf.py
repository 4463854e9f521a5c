"""Reads from an ELF file which shared libraries it needs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_PT_DYNAMIC, _PT_LOAD = 2, 1
_DT_NEEDED, _DT_STRTAB = 1, 5


def needed_libraries(path: Path) -> tuple[str, ...]:
    """Return the libraries that a 64-bit little-endian ELF file needs, such as `libc.so.6`; else none."""
    try:
        data = path.read_bytes()
        return tuple(_needed_names(data)) if data[:6] == b"\x7fELF\x02\x01" else ()
    except (OSError, struct.error, ValueError):
        return ()


def _needed_names(data: bytes) -> Iterator[str]:
    (offset,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for at in range(count):
        kind, _, start, address, _, length = struct.unpack_from("<IIQQQQ", data, offset + at * size)
        if kind == _PT_LOAD:
            loads.append((address, start, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (start, length)
    if dynamic is None:
        return
    items = list(struct.iter_unpack("<qQ", data[dynamic[0] : dynamic[0] + dynamic[1] // 16 * 16]))
    table = next((value for tag, value in items if tag == _DT_STRTAB), None)
    if table is None:
        return
    for tag, value in items:
        if tag == 0:
            return
        if tag == _DT_NEEDED:
            start = _file_offset(table + value, loads)
            yield data[start : data.index(b"\0", start)].decode()


def _file_offset(address: int, loads: list[tuple[int, int, int]]) -> int:
    """Return the offset in the file that is loaded at an address."""
    for base, start, length in loads:
        if base <= address < base + length:
            return start + address - base
    raise ValueError(f"address {address:#x} is in no segment")
