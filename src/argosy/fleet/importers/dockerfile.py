"""What a Dockerfile says about the process of its image: working folder, entry point, command."""

from __future__ import annotations

from pathlib import Path

import msgspec

from argosy.fleet.dockerfile import Instruction, read_instructions


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
    for item in read_instructions(path.read_text(encoding="utf-8", errors="replace")):
        if item.word == "FROM":
            entry, command, folder = (), (), None
        elif item.word == "WORKDIR":
            folder = item.text
        elif item.word == "ENTRYPOINT":
            entry, command = _words(item), ()
        elif item.word == "CMD":
            command = _words(item)
    return Process((*entry, *command), folder)


def _words(item: Instruction) -> tuple[str, ...]:
    words = item.words()
    # Docker itself takes a list it cannot read for the shell form.
    return ("sh", "-c", item.text) if words is None else words
