"""Facts about Dockerfiles and Compose files: what they copy from the tree, and what they declare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.fault import InputError
from argosy.fleet.dockerfile import read_instructions
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import TextFile
from argosy.source.install_manifests import DOCKERFILE_PATTERNS

if TYPE_CHECKING:
    from argosy.fleet.importers.input_file import InputFile

COMPOSE_FILES = ("*compose*.yml", "*compose*.yaml")


class ContainerCommand(msgspec.Struct, frozen=True, array_like=True):
    """The process of an image.

    argv: of ENTRYPOINT and CMD. working_dir: WORKDIR before it. line: of the last of them.
    """

    argv: tuple[str, ...]
    working_dir: str
    line: int


class DockerfileFacts(msgspec.Struct, frozen=True, array_like=True):
    """A Dockerfile. command: of its last stage; None if there is none or a shell runs it."""

    command: ContainerCommand | None


class PublishedPort(msgspec.Struct, frozen=True, array_like=True):
    """A published port. host_binding: address, port and protocol on the machine, as one string."""

    host_binding: str
    line: int
    column: int


class ComposeServiceFacts(msgspec.Struct, frozen=True, array_like=True):
    """One service of a Compose file.

    context, dockerfile: what it is built from; empty for nothing, None for a context that is not a directory.
    depends_on: by name. has_image_or_build: it declares what to run. has_profile: it starts only on request.
    """

    name: str
    line: int
    column: int
    context: str | None
    dockerfile: str
    depends_on: tuple[str, ...]
    ports: tuple[PublishedPort, ...]
    has_image_or_build: bool
    has_profile: bool


class ComposeFileFacts(msgspec.Struct, frozen=True, array_like=True):
    """A Compose file. has_external_services: it includes or extends other files."""

    services: tuple[ComposeServiceFacts, ...]
    has_external_services: bool


class ContainerFileFacts(msgspec.Struct, frozen=True, array_like=True):
    """The facts of a Dockerfile or a Compose file."""

    dockerfile: DockerfileFacts | None = None
    compose: ComposeFileFacts | None = None


def collect_text(file: TextFile) -> ContainerFileFacts | None:
    if file.path.endswith((".yml", ".yaml")):
        compose = _read_compose_file(file)
        return None if compose is None else ContainerFileFacts(compose=compose)
    return ContainerFileFacts(dockerfile=_read_dockerfile(file))


def _read_dockerfile(file: TextFile) -> DockerfileFacts:
    entry: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir, line, command_dir = "/", 0, "/"
    for item in read_instructions(file.text):
        if item.keyword == "FROM":
            entry, command, working_dir, line = (), (), "/", 0
        elif item.keyword == "WORKDIR":
            working_dir = (
                item.arguments
                if item.arguments.startswith("/")
                else f"{working_dir.rstrip('/')}/{item.arguments}"
            )
        elif item.keyword in ("ENTRYPOINT", "CMD"):
            argv = item.argv() or ()
            entry, command = (argv, ()) if item.keyword == "ENTRYPOINT" else (entry, argv)
            line, command_dir = item.line, working_dir
    argv = (*entry, *command)
    return DockerfileFacts(ContainerCommand(argv, command_dir, line) if argv and line else None)


def _read_compose_file(file: TextFile) -> ComposeFileFacts | None:
    # Most audits read no new Compose file, and the YAML reader is slow to import.
    from argosy.fleet.importers.input_file import InputFile  # noqa: PLC0415

    input_file = InputFile(Path(file.path), file.text)
    try:
        input_file.parse()
    except InputError:
        return None
    services = input_file.top_mapping().get("services")
    if not isinstance(services, dict):
        return None
    found = [
        _read_service(input_file, name, keys) for name, keys in services.items() if isinstance(keys, dict)
    ]
    has_external_services = "include" in input_file.top_mapping() or any(
        isinstance(keys, dict) and "extends" in keys for keys in services.values()
    )
    return ComposeFileFacts(tuple(found), has_external_services)


def _read_service(input_file: InputFile, name: str, keys: dict[str, Any]) -> ComposeServiceFacts:
    build = keys.get("build")
    options = build if isinstance(build, dict) else {"context": build}
    context: str | None = str(options.get("context") or ".") if build else ""
    if context is not None and ("$" in context or "://" in context or context.startswith("git@")):
        context = None
    dockerfile = str(options.get("dockerfile") or "Dockerfile")
    if not build or "dockerfile_inline" in options or "$" in dockerfile:
        dockerfile = ""
    depends_on = keys.get("depends_on")
    dependencies = list(depends_on) if isinstance(depends_on, list | dict) else []
    line, column = _position_of(input_file, ("services", name))
    ports = keys.get("ports")
    return ComposeServiceFacts(
        name,
        line,
        column,
        context,
        dockerfile,
        tuple(str(item) for item in dependencies),
        tuple(_published_ports(input_file, name, ports if isinstance(ports, list) else [])),
        bool(keys.get("image") or build),
        "profiles" in keys,
    )


def _published_ports(input_file: InputFile, name: str, ports: list[Any]) -> list[PublishedPort]:
    found: list[PublishedPort] = []
    for at, item in enumerate(ports):
        host = _host_binding(item)
        if host:
            found.append(PublishedPort(host, *_position_of(input_file, ("services", name, "ports", at))))
    return found


def _host_binding(item: object) -> str:
    """Return what a port binds on the machine: `127.0.0.1:80/tcp`; empty for a range, a variable, any."""
    if isinstance(item, dict):
        host = f"{item.get('host_ip') or ''}:{item.get('published') or ''}/{item.get('protocol') or 'tcp'}"
        return host if str(item.get("published") or "").isdecimal() else ""
    text, _, protocol = str(item).partition("/")
    parts = text.rsplit(":", 2)
    if "$" in text or len(parts) < 2 or not parts[-2].isdecimal():
        return ""
    address = parts[0] if len(parts) == 3 else ""
    return f"{'' if address == '0.0.0.0' else address}:{parts[-2]}/{protocol or 'tcp'}"


def _position_of(input_file: InputFile, key_path: tuple[str | int, ...]) -> tuple[int, int]:
    parts = input_file.location_of(key_path).rsplit(":", 2)
    return (int(parts[1]), int(parts[2])) if len(parts) == 3 else (1, 1)


CONTAINER_FILES: FactKind[ContainerFileFacts] = FactKind(
    "container files",
    ContainerFileFacts,
    file_patterns=(*DOCKERFILE_PATTERNS, *COMPOSE_FILES),
    collect_text=collect_text,
)
