"""Parses a YAML text into a tree of nodes with positions.

Built from PyYAML's events, not from its node tree or constructor: the events come from libyaml's
state machine, so deep nesting causes no recursion; YAML 1.1 values are not resolved; and duplicate
keys, aliases and depth are checked here, with line and column.

PyYAML follows YAML 1.1, where `on` and `no` are booleans and `12:30` and `1_000` are integers.
`resolve_scalar` follows the core schema of YAML 1.2.2 (section 10.3.2): only `null`, `true`, `false` and
numbers.

A tree is finite and has at most `MAX_NODES` nodes even with every alias expanded: an alias inside
its own anchor is a fault, and so is an alias bomb (each node records the size of its expanded tree).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import TypeAlias

import yaml

from argosy.fleet.locations import FLEET_FILE_KIND, FaultList, TextPosition

MAX_BYTES = 16 * 1024 * 1024
MAX_NODES = 1_000_000
MAX_DEPTH = 60
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {"!", _TAG + "str"}
_KNOWN_TAGS = {None, *_TEXT_TAGS, *(_TAG + kind for kind in ("null", "bool", "int", "float", "seq", "map"))}

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_KEYWORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAX_DIGITS = 4000  # int() refuses longer ones


class ScalarNode:
    """A scalar; `is_plain` if it has no quotes and may be a number, a boolean or null."""

    __slots__ = ("expanded_size", "is_plain", "position", "text")

    def __init__(self, text: str, is_plain: bool, position: TextPosition) -> None:
        self.text = text
        self.is_plain = is_plain
        self.position = position
        self.expanded_size = 1


class SequenceNode:
    """A list of nodes."""

    __slots__ = ("expanded_size", "items", "position")

    def __init__(self, position: TextPosition) -> None:
        self.items: list[Node] = []
        self.position = position
        self.expanded_size = 1


class MappingNode:
    """A mapping from the text of each key to its key node and its value node."""

    __slots__ = ("entries", "expanded_size", "position")

    def __init__(self, position: TextPosition) -> None:
        self.entries: dict[str, tuple[ScalarNode, Node]] = {}
        self.position = position
        self.expanded_size = 1


Node: TypeAlias = ScalarNode | SequenceNode | MappingNode


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """Return the value of a plain scalar; anything else is its text."""
    if text in _KEYWORDS:
        return _KEYWORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text


def read_text(file: Path, faults: FaultList) -> str | None:
    """Return the text of a YAML file, or None with a fault if it cannot be read or is not UTF-8."""
    try:
        data = _read_regular(file)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        faults.add(
            TextPosition(1, 1), "unreadable", f"the file cannot be read: {reason[0].lower()}{reason[1:]}"
        )
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        start = before.rfind(b"\n") + 1
        position = TextPosition(before.count(b"\n") + 1, len(before[start:].decode("utf-8", "replace")) + 1)
        faults.add(
            position,
            "not-utf-8",
            f"the byte 0x{data[error.start]:02x} is not UTF-8",
            f"`iconv -f latin1 -t utf-8 {faults.source}` converts a file of an older encoding",
        )
        return None


def _read_regular(file: Path) -> bytes:
    """Return the content of a regular file; reading a pipe or a device may block or never end.

    Raises OSError: it is not a regular file, or too large.
    """
    with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, f"it is {_describe_file_type(mode)}, expected a regular file")
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MAX_BYTES // 2**20} MiB")
    return data


def _describe_file_type(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "a special file"


def read_document(file: Path, text: str | None, faults: FaultList) -> Node | None:
    """Return the tree of a file, or None with a fault if it cannot be parsed or is empty.

    text: the file's content, if already read; `file` then only names it.
    """
    if text is None:
        text = read_text(file, faults)
    return None if text is None else parse_document(text, faults)


def parse_document(text: str, faults: FaultList) -> Node | None:
    """Return the tree of the one document in `text`, or None if it cannot be parsed or is empty.

    All faults are added to `faults`; a tree returned with faults lacks the faulty entries.
    """
    composer = _NodeComposer(faults)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if not composer.handle_event(event):
                return None
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, text, faults)
        return None
    except yaml.reader.ReaderError as error:
        _report_character(error.position, text, faults)
        return None
    except UnicodeEncodeError as error:
        _report_character(error.start, text, faults)
        return None
    root = composer.root
    if root is None or (isinstance(root, ScalarNode) and root.is_plain and not root.text):
        lead = "`argosy init` creates one; " if faults.kind == FLEET_FILE_KIND else ""
        hint = f"{lead}`{faults.schema_command}` prints the schema of a {faults.kind}"
        faults.add(TextPosition(1, 1), "empty", "the file is empty", hint)
        return None
    return root


class _OpenCollection:
    """A list or mapping that is not closed yet, and the key that has no value yet."""

    __slots__ = ("anchor", "key", "merges", "node")

    def __init__(self, node: SequenceNode | MappingNode, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: ScalarNode | None = None
        self.merges: list[MappingNode] = []


class _NodeComposer:
    """Builds nodes from events, with an explicit stack instead of recursion."""

    def __init__(self, faults: FaultList) -> None:
        self.root: Node | None = None
        self._faults = faults
        self._open_collections: list[_OpenCollection] = []
        self._anchors: dict[str, Node] = {}

    def handle_event(self, event: yaml.Event) -> bool:
        """Process one event; return False if parsing cannot continue."""
        if isinstance(event, yaml.ScalarEvent):
            return self._handle_scalar(event)
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            return self._open_collection(event)
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            return self._close_collection()
        if isinstance(event, yaml.AliasEvent):
            return self._handle_alias(event)
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            message = f"a second document begins here; a {self._faults.kind} has only one"
            self._faults.add(_position_of(event), "many-documents", message)
            return False
        return True

    def _handle_scalar(self, event: yaml.ScalarEvent) -> bool:
        position = _position_of(event)
        self._check_tag(event.tag, position)
        is_plain = event.implicit[0] if event.tag is None else event.tag not in _TEXT_TAGS
        node = ScalarNode(event.value, is_plain, position)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return self._attach(node, position)

    def _open_collection(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> bool:
        position = _position_of(event)
        self._check_tag(event.tag, position)
        if len(self._open_collections) >= MAX_DEPTH:
            self._faults.add(position, "too-deep", f"nested deeper than {MAX_DEPTH} levels")
            return False
        node = MappingNode(position) if isinstance(event, yaml.MappingStartEvent) else SequenceNode(position)
        self._open_collections.append(_OpenCollection(node, event.anchor))
        return True

    def _close_collection(self) -> bool:
        frame = self._open_collections.pop()
        if isinstance(frame.node, MappingNode):
            # Of two merges the earlier wins (YAML merge key, 2005).
            for merged in frame.merges:
                for text, entry in merged.entries.items():
                    frame.node.entries.setdefault(text, entry)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = frame.node
        return self._attach(frame.node, frame.node.position)

    def _handle_alias(self, event: yaml.AliasEvent) -> bool:
        position = _position_of(event)
        node = self._anchors.get(event.anchor or "")
        if node is not None:
            return self._attach(node, position)
        if any(frame.anchor == event.anchor for frame in self._open_collections):
            message = f"`*{event.anchor}` is inside its own anchor"
        else:
            message = f"`*{event.anchor}` has no anchor `&{event.anchor}` before it"
        self._faults.add(position, "alias", message, "text that begins with `*` needs quotes")
        return False

    def _attach(self, node: Node, position: TextPosition) -> bool:
        """Attach `node`, written or aliased at `position`, to the innermost open collection."""
        if not self._open_collections:
            self.root = node
            return True
        frame = self._open_collections[-1]
        frame.node.expanded_size += node.expanded_size
        if frame.node.expanded_size > MAX_NODES:
            self._faults.add(
                position, "too-large", f"with aliases expanded this has more than {MAX_NODES:,} values"
            )
            return False
        if isinstance(frame.node, SequenceNode):
            frame.node.items.append(node)
        elif frame.key is None:
            return self._attach_key(frame, node, position)
        else:
            self._attach_value(frame, frame.node, node, position)
        return True

    def _attach_key(self, frame: _OpenCollection, node: Node, position: TextPosition) -> bool:
        if not isinstance(node, ScalarNode):
            kind = "a list" if isinstance(node, SequenceNode) else "a mapping"
            self._faults.add(
                position,
                "key",
                f"the key is {kind}, expected a scalar",
                "text that begins with `{` or `[` needs quotes",
            )
            return False
        frame.key = node
        return True

    def _attach_value(
        self, frame: _OpenCollection, mapping: MappingNode, value: Node, position: TextPosition
    ) -> None:
        key = frame.key
        assert key is not None
        frame.key = None
        if key.is_plain and key.text == "<<":
            self._handle_merge(frame, value, position)
        elif key.text in mapping.entries:
            first = mapping.entries[key.text][0]
            where = self._faults.format_position(first.position)
            message = f"`{key.text}` occurs twice; the first is at {where}"
            self._faults.add(key.position, "duplicate-key", message, "keep one of them")
        else:
            mapping.entries[key.text] = (key, value)

    def _handle_merge(self, frame: _OpenCollection, value: Node, position: TextPosition) -> None:
        parts = value.items if isinstance(value, SequenceNode) else [value]
        for part in parts:
            if isinstance(part, MappingNode):
                frame.merges.append(part)
            else:
                self._faults.add(
                    position, "merge", "`<<` merges a mapping or a list of mappings", "such as `<<: *base`"
                )

    def _check_tag(self, tag: str | None, position: TextPosition) -> None:
        if tag not in _KNOWN_TAGS:
            displayed_tag = (tag or "").replace(_TAG, "!!")
            message = f"the tag `{displayed_tag}` has no meaning in a {self._faults.kind}"
            self._faults.add(position, "tag", message, "remove it")


def _position_of(event: yaml.Event) -> TextPosition:
    mark = event.start_mark
    assert mark is not None  # only hand-made events have none
    return TextPosition(mark.line + 1, mark.column + 1)


def _report_syntax(error: yaml.MarkedYAMLError, text: str, faults: FaultList) -> None:
    mark, context = error.problem_mark or error.context_mark, error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.split("\n")
    found = lines[line][column : column + 1] if line < len(lines) else ""
    message, hint = error.problem or "unreadable", ""
    if found == "\t":
        message, hint = "a tab, where YAML takes spaces only", "indent with spaces"
    elif "cannot start any token" in message or "mapping values" in message:
        hint = "a text with `: ` or with a special first character needs quotes"
    elif error.context and context:
        message = f"{message}, {error.context} that begins in line {context.line + 1}"
        hint = _closing_hint(error.context, context, lines)
    faults.add(TextPosition(line + 1, column + 1), "yaml", f"not YAML: {message}", hint)


def _closing_hint(context: str, mark: yaml.Mark, lines: list[str]) -> str:
    """Return a hint on how to close the open construct; empty if it has no closing mark."""
    ends = {"while parsing a flow sequence": "]", "while parsing a flow mapping": "}"}
    opened = lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""
    end = opened if context == "while scanning a quoted scalar" else ends.get(context)
    if not end or not opened:
        return ""
    comma = "" if end == opened else ", or put a comma between its parts"
    return f"close the `{opened}` of line {mark.line + 1}, column {mark.column + 1} with `{end}`{comma}"


def _report_character(position: int, text: str, faults: FaultList) -> None:
    before = text[:position]
    fault_position = TextPosition(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)
    found = text[position : position + 1]
    message = f"the character U+{ord(found) if found else 0:04X} is not allowed in a YAML file"
    faults.add(fault_position, "yaml", message)
