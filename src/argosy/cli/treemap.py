"""A tree of files as nested rectangles whose areas are the files' sizes.

Rows are filled so that rectangles come near to squares (squarified treemaps, Bruls, Huizing and
van Wijk 2000).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

_HEAD = 15.0
_PAD = 2.0
_SMALLEST = 26.0  # a folder smaller than this has no room for its name


class Box(msgspec.Struct, frozen=True):
    """A rectangle. path: of a file, or of a folder (`is_folder`); name: as it is written in it, or empty."""

    path: str
    name: str
    is_folder: bool
    x: float
    y: float
    width: float
    height: float


class _Node:
    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.name = name
        self.size = 0.0
        self.children: dict[str, _Node] = {}


def layout(sizes: Mapping[str, int], width: float, height: float) -> list[Box]:
    """Return the rectangles of files and folders, outer ones first. sizes: bytes by path, with `/`."""
    root = _Node("", "")
    for path, size in sizes.items():
        # An empty file is a file too.
        _enter(root, path, max(size, 200))
    return list(_boxes(root, 0.0, 0.0, width, height))


def _enter(root: _Node, path: str, size: float) -> None:
    node = root
    node.size += size
    done = ""
    for part in path.split("/"):
        done = f"{done}/{part}" if done else part
        node = node.children.setdefault(part, _Node(done, part))
        node.size += size


def _boxes(node: _Node, x: float, y: float, width: float, height: float) -> Iterator[Box]:
    while len(node.children) == 1 and node.path:
        # A chain of folders is one rectangle with all their names.
        child = next(iter(node.children.values()))
        if not child.children:
            break
        child.name = f"{node.name}/{child.name}"
        node = child
    has_name = bool(node.path) and bool(node.children) and min(width, height) > _SMALLEST
    if node.path:
        yield Box(node.path, node.name if has_name else "", bool(node.children), x, y, width, height)
    if not node.children:
        return
    if node.path:
        pad = _PAD if has_name else 0.5
        head = _HEAD if has_name else pad
        x, y, width, height = x + pad, y + head, width - 2 * pad, height - head - pad
    if width <= 0 or height <= 0:
        return
    children = sorted(node.children.values(), key=lambda child: (-child.size, child.name))
    for child, place in zip(children, _squarified(children, x, y, width, height), strict=True):
        yield from _boxes(child, *place)


Place = tuple[float, float, float, float]


def _squarified(nodes: Sequence[_Node], x: float, y: float, width: float, height: float) -> Iterator[Place]:
    """Yield the place of each node, largest first, in rows along the shorter side of what is left."""
    left = sum(node.size for node in nodes)
    start = 0
    while start < len(nodes):
        scale = width * height / left if left else 0.0
        side = min(width, height)
        end = start + 1
        row = nodes[start].size * scale
        while end < len(nodes):
            more = row + nodes[end].size * scale
            first = nodes[start].size * scale
            if _worst(first, nodes[end].size * scale, more, side) > _worst(
                first, nodes[end - 1].size * scale, row, side
            ):
                break
            row = more
            end += 1
        depth = row / side if side else 0.0
        along = y if width >= height else x
        for node in nodes[start:end]:
            length = node.size * scale / depth if depth else 0.0
            yield (x, along, depth, length) if width >= height else (along, y, length, depth)
            along += length
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
        left -= sum(node.size for node in nodes[start:end])
        start = end


def _worst(largest: float, smallest: float, row: float, side: float) -> float:
    """Return the worst ratio of the sides in a row of one depth."""
    if not (row and smallest and side):
        return float("inf")
    return max(side * side * largest / (row * row), row * row / (side * side * smallest))
