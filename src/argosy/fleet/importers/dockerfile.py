"""What a Dockerfile says about the process of its image: working folder, entry point, command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

_INSTRUCTION = re.compile(r"^\s*([A-Za-z]+)\s+(.*)$", re.DOTALL)


class Process(msgspec.Struct, frozen=True):
    """What the last stage of a Dockerfile runs, and where."""

    words: tuple[str, ...] = ()
    folder: str | None = None


def read_process(path: Path) -> Process:
    """Return the process that the image of a Dockerfile runs; an empty one where there is no file."""
    if not path.is_file():
        return Process()
    entry: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    folder: str | None = None
    for name, text in _instructions(path.read_text(encoding="utf-8", errors="replace")):
        if name == "FROM":
            entry, command, folder = (), (), None
        elif name == "WORKDIR":
            folder = text
        elif name == "ENTRYPOINT":
            entry, command = _words(text), ()
        elif name == "CMD":
            command = _words(text)
    return Process((*entry, *command), folder)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\[ \t]*\n", " ", "\n".join(lines)).splitlines():
        match = _INSTRUCTION.match(line)
        if match:
            yield match[1].upper(), match[2].strip()


def _words(text: str) -> tuple[str, ...]:
    """Read the list form (`["python", "a.py"]`) or the shell form (`python a.py`)."""
    try:
        if text.startswith("["):
            return tuple(msgspec.json.decode(text, type=list[str]))
        return tuple(shlex.split(text))
    except (msgspec.DecodeError, ValueError):
        # Docker itself takes a list it cannot read for the shell form.
        return ("sh", "-c", text)
