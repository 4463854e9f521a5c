"""Lays out a tree of files as nested rectangles whose areas are the files' sizes.

Rows are filled so that the rectangles are nearly square (squarified treemaps, Bruls, Huizing and
van Wijk 2000).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

_HEADER_HEIGHT = 15.0
_PADDING = 2.0
_MIN_NAMED_SIZE = 26.0  # a smaller folder shows no name


class TreemapBox(msgspec.Struct, frozen=True):
    """A rectangle. path: of a file or folder (`is_directory`); name: the label in it, or empty."""

    path: str
    name: str
    is_directory: bool
    x: float
    y: float
    width: float
    height: float


class _TreeNode:
    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.name = name
        self.size = 0.0
        self.children: dict[str, _TreeNode] = {}


def layout_treemap(sizes: Mapping[str, int], width: float, height: float) -> list[TreemapBox]:
    """Return the rectangles of files and folders, outer ones first. sizes: bytes by path, with `/`."""
    root = _TreeNode("", "")
    for path, size in sizes.items():
        # An empty file gets an area too.
        _add_file(root, path, max(size, 200))
    return list(_layout_node(root, 0.0, 0.0, width, height))


def _add_file(root: _TreeNode, path: str, size: float) -> None:
    node = root
    node.size += size
    prefix = ""
    for part in path.split("/"):
        prefix = f"{prefix}/{part}" if prefix else part
        node = node.children.setdefault(part, _TreeNode(prefix, part))
        node.size += size


def _layout_node(node: _TreeNode, x: float, y: float, width: float, height: float) -> Iterator[TreemapBox]:
    while len(node.children) == 1 and node.path:
        # A chain of single folders is one rectangle with their joined names.
        child = next(iter(node.children.values()))
        if not child.children:
            break
        child.name = f"{node.name}/{child.name}"
        node = child
    has_name = bool(node.path) and bool(node.children) and min(width, height) > _MIN_NAMED_SIZE
    if node.path:
        yield TreemapBox(node.path, node.name if has_name else "", bool(node.children), x, y, width, height)
    if not node.children:
        return
    if node.path:
        pad = _PADDING if has_name else 0.5
        head = _HEADER_HEIGHT if has_name else pad
        x, y, width, height = x + pad, y + head, width - 2 * pad, height - head - pad
    if width <= 0 or height <= 0:
        return
    children = sorted(node.children.values(), key=lambda child: (-child.size, child.name))
    for child, place in zip(children, _squarify(children, x, y, width, height), strict=True):
        yield from _layout_node(child, *place)


Rectangle = tuple[float, float, float, float]


def _squarify(
    nodes: Sequence[_TreeNode], x: float, y: float, width: float, height: float
) -> Iterator[Rectangle]:
    """Yield the rectangle of each node, largest first, in rows along the shorter remaining side."""
    remaining = sum(node.size for node in nodes)
    start = 0
    while start < len(nodes):
        scale = width * height / remaining if remaining else 0.0
        side = min(width, height)
        end = start + 1
        row = nodes[start].size * scale
        while end < len(nodes):
            more = row + nodes[end].size * scale
            first = nodes[start].size * scale
            if _worst_aspect_ratio(first, nodes[end].size * scale, more, side) > _worst_aspect_ratio(
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
        remaining -= sum(node.size for node in nodes[start:end])
        start = end


def _worst_aspect_ratio(largest: float, smallest: float, row: float, side: float) -> float:
    """Return the worst aspect ratio in a row."""
    if not (row and smallest and side):
        return float("inf")
    return max(side * side * largest / (row * row), row * row / (side * side * smallest))
