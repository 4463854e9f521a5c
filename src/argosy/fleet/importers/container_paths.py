"""Reads what a container runs from its Dockerfile, and maps its paths to the host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

from argosy.fleet.dockerfile import DockerfileInstruction, read_instructions
from argosy.fleet.importers.input_file import PlainData


class ContainerProcess(msgspec.Struct, frozen=True):
    """The command and working folder of the last stage of a Dockerfile."""

    argv: tuple[str, ...] = ()
    working_dir: str | None = None


def _read_process(path: Path) -> ContainerProcess:
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


class ContainerPaths:
    """The files of one Compose service.

    context: the build context; the Compose file's folder if there is no build.
    dockerfile: its path. process: the process it defines.
    """

    def __init__(self, base: Path, keys: Mapping[str, PlainData]) -> None:
        build = keys.get("build")
        options = build if isinstance(build, dict) else {"context": build}
        self.context = _normalized_path(base, str(options.get("context") or "."))
        self.dockerfile = self.context / str(options.get("dockerfile") or "Dockerfile")
        self.process = _read_process(self.dockerfile) if build else ContainerProcess()
        working = keys.get("working_dir")
        self._working_dir = PurePosixPath(str(working or self.process.working_dir or "/"))
        self._mounts = dict(_mounts(base, keys.get("volumes")))

    def host_script(self, path: str) -> str:
        """Return the host path of a script in the container: absolute if it exists, else relative."""
        inside = self._working_dir / path
        for candidate in self._candidates(inside):
            if candidate.is_file():
                return str(candidate)
        relative = (
            inside.relative_to(self._working_dir) if inside.is_relative_to(self._working_dir) else inside
        )
        return str(relative).lstrip("/")

    def host_working_dir(self) -> str | None:
        """Return the host path of the container's working folder; the build context if it is not found."""
        if self._working_dir == PurePosixPath("/"):
            return str(self.context)
        return next(
            (str(one) for one in self._candidates(self._working_dir) if one.is_dir()), str(self.context)
        )

    def _candidates(self, inside: PurePosixPath) -> list[Path]:
        """Return possible host paths of a container path: in mounts, then in the context, longest first."""
        found: list[Path] = []
        for target, source in sorted(self._mounts.items(), key=lambda mount: -len(mount[0].parts)):
            if inside.is_relative_to(target):
                found.append(source / inside.relative_to(target))
        if inside.is_relative_to(self._working_dir):
            found.append(self.context / inside.relative_to(self._working_dir))
        parts = inside.parts[1:]
        found += [self.context.joinpath(*parts[start:]) for start in range(len(parts))]
        return found


def _mounts(base: Path, volumes: PlainData) -> list[tuple[PurePosixPath, Path]]:
    mounts: list[tuple[PurePosixPath, Path]] = []
    for item in volumes if isinstance(volumes, list) else []:
        if isinstance(item, dict):
            source, target = str(item.get("source", "")), str(item.get("target", ""))
        else:
            source, target = [*str(item).split(":"), ""][:2]
        # A source without a slash is a named volume, not a folder.
        if target.startswith("/") and (source.startswith((".", "/")) or "/" in source):
            mounts.append((PurePosixPath(target), _normalized_path(base, source)))
    return mounts


def _normalized_path(base: Path, path: str) -> Path:
    return Path(os.path.normpath(base / path))
