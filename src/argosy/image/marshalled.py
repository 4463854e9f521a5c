"""Bytecode files with the same bytes each time.

What Python writes depends on which texts happened to be shared or interned in the process that compiled. Here
the same tree of values is written again: texts and bytes are shared by their value, in the order in which
they come, and nothing is marked as interned (names are interned anyway when code is loaded).
"""

from __future__ import annotations

import struct
from typing import Final

_REF: Final = 0x80
_HEADER: Final = 16  # magic number, flags, hash of the source
# Without content; of a fixed length; with a length of one byte; with a length of four.
_EMPTY: Final = b"0NFTS."
_FIXED: Final = {b"i"[0]: 4, b"I"[0]: 8, b"g"[0]: 8, b"y"[0]: 16}
_SHORT: Final = b"zZ"
_LONG: Final = b"stuaA"
_PLAIN: Final = {b"Z"[0]: b"z"[0], b"A"[0]: b"a"[0], b"t"[0]: b"u"[0]}
_SHARED: Final = frozenset(b"suaz")

# A node: its type; then its bytes, or what it holds. Of code, numbers stand among the objects.
Node = tuple[int, "bytes | list[Node]"]
_NUMBER: Final = -1


def canonical(data: bytes) -> bytes:
    """Return a bytecode file (`*.pyc`) that says the same and depends on nothing else.

    Raises ValueError: the file has a type that is not known here.
    """
    node = _Reader(data, _HEADER).read()
    return data[:_HEADER] + bytes(_Writer().write(node).out)


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.refs: list[Node | None] = []

    def read(self) -> Node:
        first = self.data[self.at]
        self.at += 1
        kind = first & ~_REF
        if kind == b"r"[0]:
            node = self.refs[self.number()]
            if node is None:
                raise ValueError("a value within itself")
            return node
        place = len(self.refs) if first & _REF else None
        if place is not None:
            self.refs.append(None)
        node = self.content(kind)
        if place is not None:
            self.refs[place] = node
        return node

    def content(self, kind: int) -> Node:
        if kind in _EMPTY:
            return kind, b""
        if kind in _FIXED:
            return kind, self.take(_FIXED[kind])
        if kind in _SHORT:
            return _PLAIN.get(kind, kind), self.take(self.take(1)[0])
        if kind in _LONG:
            return _PLAIN.get(kind, kind), self.take(self.number())
        if kind == b"l"[0]:
            head = self.take(4)
            return kind, head + self.take(2 * abs(struct.unpack("<i", head)[0]))
        if kind == b")"[0]:
            return b"("[0], [self.read() for _ in range(self.take(1)[0])]
        if kind in b"([<>":
            return kind, [self.read() for _ in range(self.number())]
        if kind == b":"[0]:
            return kind, [self.read() for _ in range(3)]
        if kind == b"c"[0]:
            return kind, self.code()
        raise ValueError(f"type {chr(kind)!r} of marshal is not known")

    def code(self) -> list[Node]:
        """Read five numbers, eight objects, the first line, and two tables."""
        numbers = [(_NUMBER, self.take(4)) for _ in range(5)]
        objects = [self.read() for _ in range(8)]
        line = (_NUMBER, self.take(4))
        return [*numbers, *objects, line, self.read(), self.read()]

    def number(self) -> int:
        found: int = struct.unpack("<I", self.take(4))[0]
        return found

    def take(self, count: int) -> bytes:
        found = self.data[self.at : self.at + count]
        if len(found) != count:
            raise ValueError("the file is cut off")
        self.at += count
        return found


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray()
        self.known: dict[tuple[int, bytes], int] = {}

    def write(self, node: Node) -> _Writer:
        kind, held = node
        if isinstance(held, bytes):
            self.leaf(kind, held)
        else:
            self.out.append(b")"[0] if kind == b"("[0] and len(held) < 256 else kind)
            if kind == b"("[0] and len(held) < 256:
                self.out.append(len(held))
            elif kind in b"([<>":
                self.out += struct.pack("<I", len(held))
            for child in held:
                self.write(child)
        return self

    def leaf(self, kind: int, data: bytes) -> None:
        if kind == _NUMBER:
            self.out += data
        elif kind not in _SHARED:
            self.out.append(kind)
            self.out += data
        elif (kind, data) in self.known:
            self.out += b"r" + struct.pack("<I", self.known[kind, data])
        else:
            self.known[kind, data] = len(self.known)
            self.out.append(kind | _REF)
            self.out += bytes((len(data),)) if kind == b"z"[0] else struct.pack("<I", len(data))
            self.out += data
