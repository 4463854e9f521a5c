"""Rewrites bytecode files so that equal code gives equal bytes.

The bytes that Python writes depend on which strings were shared or interned in the compiling process. Here
the same tree of values is written again: strings and bytes are shared by value, in order of appearance, and
nothing is marked as interned (names are interned anyway when code is loaded).
"""

from __future__ import annotations

import struct
from typing import Final

_REF_FLAG: Final = 0x80
_HEADER_BYTES: Final = 16  # magic number, flags, hash of the source
# Types without content; of a fixed length; with a length of one byte; with a length of four bytes.
_NO_CONTENT: Final = b"0NFTS."
_FIXED_LENGTH: Final = {b"i"[0]: 4, b"I"[0]: 8, b"g"[0]: 8, b"y"[0]: 16}
_LENGTH_BYTE: Final = b"zZ"
_LENGTH_WORD: Final = b"stuaA"
_UNINTERNED: Final = {b"Z"[0]: b"z"[0], b"A"[0]: b"a"[0], b"t"[0]: b"u"[0]}
_SHARED: Final = frozenset(b"suaz")

# A type with its bytes or its child nodes. A code object has raw numbers among its children.
MarshalNode = tuple[int, "bytes | list[MarshalNode]"]
_RAW_NUMBER: Final = -1


def canonicalize_pyc(data: bytes) -> bytes:
    """Return the content of a bytecode file (`*.pyc`) in its canonical form.

    Raises ValueError: the file is truncated or has an unknown type.
    """
    node = _MarshalReader(data, _HEADER_BYTES).read_node()
    return data[:_HEADER_BYTES] + bytes(_MarshalWriter().write_node(node).out)


class _MarshalReader:
    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.refs: list[MarshalNode | None] = []

    def read_node(self) -> MarshalNode:
        first = self.data[self.at]
        self.at += 1
        kind = first & ~_REF_FLAG
        if kind == b"r"[0]:
            node = self.refs[self.read_number()]
            if node is None:
                raise ValueError("a value contains itself")
            return node
        place = len(self.refs) if first & _REF_FLAG else None
        if place is not None:
            self.refs.append(None)
        node = self.read_content(kind)
        if place is not None:
            self.refs[place] = node
        return node

    def read_content(self, kind: int) -> MarshalNode:
        if kind in _NO_CONTENT:
            return kind, b""
        if kind in _FIXED_LENGTH:
            return kind, self.read_bytes(_FIXED_LENGTH[kind])
        if kind in _LENGTH_BYTE:
            return _UNINTERNED.get(kind, kind), self.read_bytes(self.read_bytes(1)[0])
        if kind in _LENGTH_WORD:
            return _UNINTERNED.get(kind, kind), self.read_bytes(self.read_number())
        if kind == b"l"[0]:
            head = self.read_bytes(4)
            return kind, head + self.read_bytes(2 * abs(struct.unpack("<i", head)[0]))
        if kind == b")"[0]:
            return b"("[0], [self.read_node() for _ in range(self.read_bytes(1)[0])]
        if kind in b"([<>":
            return kind, [self.read_node() for _ in range(self.read_number())]
        if kind == b":"[0]:
            return kind, [self.read_node() for _ in range(3)]
        if kind == b"c"[0]:
            return kind, self.read_code()
        raise ValueError(f"type {chr(kind)!r} of marshal is not known")

    def read_code(self) -> list[MarshalNode]:
        """Read five numbers, eight objects, the first line, and two tables."""
        numbers = [(_RAW_NUMBER, self.read_bytes(4)) for _ in range(5)]
        objects = [self.read_node() for _ in range(8)]
        line = (_RAW_NUMBER, self.read_bytes(4))
        return [*numbers, *objects, line, self.read_node(), self.read_node()]

    def read_number(self) -> int:
        found: int = struct.unpack("<I", self.read_bytes(4))[0]
        return found

    def read_bytes(self, count: int) -> bytes:
        found = self.data[self.at : self.at + count]
        if len(found) != count:
            raise ValueError("the file is truncated")
        self.at += count
        return found


class _MarshalWriter:
    def __init__(self) -> None:
        self.out = bytearray()
        self.known: dict[tuple[int, bytes], int] = {}

    def write_node(self, node: MarshalNode) -> _MarshalWriter:
        kind, content = node
        if isinstance(content, bytes):
            self.write_leaf(kind, content)
        else:
            self.out.append(b")"[0] if kind == b"("[0] and len(content) < 256 else kind)
            if kind == b"("[0] and len(content) < 256:
                self.out.append(len(content))
            elif kind in b"([<>":
                self.out += struct.pack("<I", len(content))
            for child in content:
                self.write_node(child)
        return self

    def write_leaf(self, kind: int, data: bytes) -> None:
        if kind == _RAW_NUMBER:
            self.out += data
        elif kind not in _SHARED:
            self.out.append(kind)
            self.out += data
        elif (kind, data) in self.known:
            self.out += b"r" + struct.pack("<I", self.known[kind, data])
        else:
            self.known[kind, data] = len(self.known)
            self.out.append(kind | _REF_FLAG)
            self.out += bytes((len(data),)) if kind == b"z"[0] else struct.pack("<I", len(data))
            self.out += data
