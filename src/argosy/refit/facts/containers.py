"""Dockerfiles and Compose files as facts: what they take from the tree, and what they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.fault import InputError
from argosy.fleet.dockerfile import read_instructions
from argosy.refit.fact import FactKind
from argosy.refit.file import TextFile
from argosy.source.installs import DOCKERFILES

if TYPE_CHECKING:
    from argosy.fleet.importers.intake import Intake

COMPOSE_FILES = ("*compose*.yml", "*compose*.yaml")


class Start(msgspec.Struct, frozen=True, array_like=True):
    """The process of an image. words: of ENTRYPOINT and CMD; folder: WORKDIR before it; line: of the last."""

    words: tuple[str, ...]
    folder: str
    line: int


class Image(msgspec.Struct, frozen=True, array_like=True):
    """A Dockerfile. start: of its last stage, None where nothing says so, or a shell is asked."""

    start: Start | None


class Port(msgspec.Struct, frozen=True, array_like=True):
    """A published port. host: address and port and protocol on the machine, as one text."""

    host: str
    line: int
    column: int


class Service(msgspec.Struct, frozen=True, array_like=True):
    """One service of a Compose file.

    context, dockerfile: what it is built from, empty for nothing, None for a context that is no folder.
    needs: by name. has_image: something says what it runs. is_profiled: it starts only when asked for.
    """

    name: str
    line: int
    column: int
    context: str | None
    dockerfile: str
    needs: tuple[str, ...]
    ports: tuple[Port, ...]
    has_image: bool
    is_profiled: bool


class Compose(msgspec.Struct, frozen=True, array_like=True):
    """A Compose file. is_open: it includes or extends others."""

    services: tuple[Service, ...]
    is_open: bool


class Contained(msgspec.Struct, frozen=True, array_like=True):
    """One of the two."""

    image: Image | None = None
    compose: Compose | None = None


def collect_text(file: TextFile) -> Contained | None:
    if file.path.endswith((".yml", ".yaml")):
        compose = _compose_of(file)
        return None if compose is None else Contained(compose=compose)
    return Contained(image=_image_of(file))


def _image_of(file: TextFile) -> Image:
    entry: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    folder, line, at = "/", 0, "/"
    for item in read_instructions(file.text):
        if item.word == "FROM":
            entry, command, folder, line = (), (), "/", 0
        elif item.word == "WORKDIR":
            folder = item.text if item.text.startswith("/") else f"{folder.rstrip('/')}/{item.text}"
        elif item.word in ("ENTRYPOINT", "CMD"):
            words = item.words() or ()
            entry, command = (words, ()) if item.word == "ENTRYPOINT" else (entry, words)
            line, at = item.line, folder
    words = (*entry, *command)
    return Image(Start(words, at, line) if words and line else None)


def _compose_of(file: TextFile) -> Compose | None:
    # Most audits read no Compose file anew, and what reads YAML is slow to load.
    from argosy.fleet.importers.intake import Intake  # noqa: PLC0415

    intake = Intake(Path(file.path), file.text)
    try:
        intake.parse()
    except InputError:
        return None
    services = intake.mapping().get("services")
    if not isinstance(services, dict):
        return None
    found = [_service(intake, name, keys) for name, keys in services.items() if isinstance(keys, dict)]
    is_open = "include" in intake.mapping() or any(
        isinstance(keys, dict) and "extends" in keys for keys in services.values()
    )
    return Compose(tuple(found), is_open)


def _service(intake: Intake, name: str, keys: dict[str, Any]) -> Service:
    build = keys.get("build")
    options = build if isinstance(build, dict) else {"context": build}
    context: str | None = str(options.get("context") or ".") if build else ""
    if context is not None and ("$" in context or "://" in context or context.startswith("git@")):
        context = None
    dockerfile = str(options.get("dockerfile") or "Dockerfile")
    if not build or "dockerfile_inline" in options or "$" in dockerfile:
        dockerfile = ""
    needs = keys.get("depends_on")
    listed = list(needs) if isinstance(needs, list | dict) else []
    line, column = _place(intake, ("services", name))
    ports = keys.get("ports")
    return Service(
        name,
        line,
        column,
        context,
        dockerfile,
        tuple(str(item) for item in listed),
        tuple(_ports(intake, name, ports if isinstance(ports, list) else [])),
        bool(keys.get("image") or build),
        "profiles" in keys,
    )


def _ports(intake: Intake, name: str, ports: list[Any]) -> list[Port]:
    found: list[Port] = []
    for at, item in enumerate(ports):
        host = _host_port(item)
        if host:
            found.append(Port(host, *_place(intake, ("services", name, "ports", at))))
    return found


def _host_port(item: object) -> str:
    """Return what a port takes on the machine: `127.0.0.1:80/tcp`; empty for a range, a variable, any."""
    if isinstance(item, dict):
        host = f"{item.get('host_ip') or ''}:{item.get('published') or ''}/{item.get('protocol') or 'tcp'}"
        return host if str(item.get("published") or "").isdecimal() else ""
    text, _, protocol = str(item).partition("/")
    parts = text.rsplit(":", 2)
    if "$" in text or len(parts) < 2 or not parts[-2].isdecimal():
        return ""
    address = parts[0] if len(parts) == 3 else ""
    return f"{'' if address == '0.0.0.0' else address}:{parts[-2]}/{protocol or 'tcp'}"


def _place(intake: Intake, steps: tuple[str | int, ...]) -> tuple[int, int]:
    parts = intake.where(steps).rsplit(":", 2)
    return (int(parts[1]), int(parts[2])) if len(parts) == 3 else (1, 1)


CONTAINERS: FactKind[Contained] = FactKind(
    "containers", Contained, names=(*DOCKERFILES, *COMPOSE_FILES), collect_text=collect_text
)
