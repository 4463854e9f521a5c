"""A file to import: its text, its YAML as plain data, and the location of each value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import TypeAlias

from argosy.fault import Fault, InputError
from argosy.fleet.decode import to_plain
from argosy.fleet.locations import FaultList, format_path
from argosy.fleet.yaml_nodes import MappingNode, Node, ScalarNode, SequenceNode, parse_document

KeyPath: TypeAlias = tuple[str | int, ...]
"""The path from the top of a document to a value: keys and list indexes."""

PlainData: TypeAlias = "str | int | float | bool | list[PlainData] | dict[str, PlainData] | None"


class InputFile:
    """One file whose format is not detected yet.

    path: absolute. display_name: the path for messages. data: its YAML; None until `parse`.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.display_name = format_path(path)
        self.text = text
        self.data: PlainData = None
        self._root: Node | None = None

    def parse(self) -> None:
        """Parse the text as YAML into `data`.

        Raises InputError: all faults of the text, each with its position.
        """
        faults = FaultList(self.display_name)
        self._root = parse_document(self.text, faults)
        if self._root is None or len(faults):
            raise InputError(*faults.in_file_order())
        self.data = to_plain(self._root)

    def top_mapping(self) -> AnyMapping[str, PlainData]:
        """Return the top of the document if it is a mapping, else an empty one."""
        return self.data if isinstance(self.data, dict) else {}

    def scalar_text(self, key_path: KeyPath) -> str:
        """Return a scalar as written (`1.10`, `0755`); empty for null and for anything but a scalar."""
        node = self._root
        for step in key_path:
            if isinstance(node, MappingNode) and str(step) in node.entries:
                node = node.entries[str(step)][1]
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
            else:
                return ""
        return node.text if isinstance(node, ScalarNode) and to_plain(node) is not None else ""

    def location_of(self, key_path: KeyPath) -> str:
        """Return `file:line:column` of the key or list item at `key_path`, or of its last existing parent."""
        node = self._root
        position = node.position if node is not None else None
        for step in key_path:
            if isinstance(node, MappingNode) and str(step) in node.entries:
                key, node = node.entries[str(step)]
                position = key.position
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                position = node.position
            else:
                break
        if position is None:
            return self.display_name
        return f"{self.display_name}:{position.line}:{position.column}"


def read_input_file(path: Path) -> InputFile:
    """Return the file at `path`, not yet parsed.

    Raises InputError: it cannot be read, or is not UTF-8 text.
    """
    try:
        return InputFile(path.absolute(), path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise InputError(
            Fault(format_path(path), "unreadable", f"the file cannot be read: {error.strerror}")
        ) from error
    except UnicodeDecodeError as error:
        found = f"byte {error.start} is 0x{error.object[error.start]:02X}"
        raise InputError(
            Fault(format_path(path), "encoding", f"the file is not UTF-8 text: {found}")
        ) from error


def walk_values(
    value: PlainData, key_path: KeyPath = (), *, stop_at: Callable[[PlainData], bool] | None = None
) -> Iterator[tuple[KeyPath, PlainData]]:
    """Yield `value` and every value below it, each with its path, in file order.

    stop_at: the walk does not descend into a value for which this is true.
    """
    yield key_path, value
    if stop_at is not None and stop_at(value):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk_values(inner, (*key_path, key), stop_at=stop_at)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from walk_values(inner, (*key_path, at), stop_at=stop_at)
