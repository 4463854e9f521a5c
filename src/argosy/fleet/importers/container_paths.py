"""Where the files of a container are on the machine: its build context, its bind mounts, its Dockerfile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from argosy.fleet.importers.dockerfile_process import ContainerProcess, read_container_process
from argosy.fleet.importers.input_file import PlainData


class ContainerPaths:
    """The files of one Compose service.

    context: the folder that its image is built from; the Compose file's own where it builds none.
    dockerfile: where that is. process: what it says.
    """

    def __init__(self, base: Path, keys: Mapping[str, PlainData]) -> None:
        build = keys.get("build")
        options = build if isinstance(build, dict) else {"context": build}
        self.context = _normalized_path(base, str(options.get("context") or "."))
        self.dockerfile = self.context / str(options.get("dockerfile") or "Dockerfile")
        self.process = read_container_process(self.dockerfile) if build else ContainerProcess()
        working = keys.get("working_dir")
        self._working_dir = PurePosixPath(str(working or self.process.working_dir or "/"))
        self._mounts = dict(_mounts(base, keys.get("volumes")))

    def host_script(self, path: str) -> str:
        """Return where a script of the container is here: absolute when it exists, else as far as known."""
        inside = self._working_dir / path
        for candidate in self._candidates(inside):
            if candidate.is_file():
                return str(candidate)
        relative = (
            inside.relative_to(self._working_dir) if inside.is_relative_to(self._working_dir) else inside
        )
        return str(relative).lstrip("/")

    def host_working_dir(self) -> str | None:
        """Return where the container's working folder is here; None when that cannot be told."""
        if self._working_dir == PurePosixPath("/"):
            return str(self.context)
        return next(
            (str(one) for one in self._candidates(self._working_dir) if one.is_dir()), str(self.context)
        )

    def _candidates(self, inside: PurePosixPath) -> list[Path]:
        """Return where a container path may be: in a mount, else in the context, longest tail first."""
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
        # A source without a slash is a volume that Docker keeps, not a folder.
        if target.startswith("/") and (source.startswith((".", "/")) or "/" in source):
            mounts.append((PurePosixPath(target), _normalized_path(base, source)))
    return mounts


def _normalized_path(base: Path, path: str) -> Path:
    return Path(os.path.normpath(base / path))
