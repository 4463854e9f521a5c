"""Reads the process of an image from its Dockerfile: working folder, entry point, command."""

from __future__ import annotations

from pathlib import Path

import msgspec

from argosy.fleet.dockerfile import DockerfileInstruction, read_instructions


class ContainerProcess(msgspec.Struct, frozen=True):
    """The command and working folder of the last stage of a Dockerfile."""

    argv: tuple[str, ...] = ()
    working_dir: str | None = None


def read_container_process(path: Path) -> ContainerProcess:
    """Return the process that the image of a Dockerfile runs; an empty one if there is no file."""
    if not path.is_file():
        return ContainerProcess()
    entry: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    folder: str | None = None
    for item in read_instructions(path.read_text(encoding="utf-8", errors="replace")):
        if item.keyword == "FROM":
            entry, command, folder = (), (), None
        elif item.keyword == "WORKDIR":
            folder = item.arguments
        elif item.keyword == "ENTRYPOINT":
            entry, command = _argv_of(item), ()
        elif item.keyword == "CMD":
            command = _argv_of(item)
    return ContainerProcess((*entry, *command), folder)


def _argv_of(item: DockerfileInstruction) -> tuple[str, ...]:
    argv = item.argv()
    # Docker, too, treats an invalid list as shell form.
    return ("sh", "-c", item.arguments) if argv is None else argv
