"""A container file that cannot work

In a Dockerfile: a line that is not an instruction, an instruction without arguments, a malformed list, a
first instruction other than FROM or ARG, a user that does not exist, a source of COPY that is not in the
build context, a script of CMD or ENTRYPOINT that is not in the folder it was copied from. In a Compose file:
a missing Dockerfile or context, a dependency on a service that neither the file nor one beside it declares, a
port of the host that two services publish, a service with neither `image` nor `build`.

A context is the one that a Compose file declares, else the nearest parent folder with most of the sources.
Values from variables, shell globs and other images are not reported.

Instead: fix the file; `docker build --check` and `docker compose config` find a part of this.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from argosy.fleet.dockerfile import find_dockerfile_faults, read_instructions
from argosy.refit.analysis.facts.container_files import (
    CONTAINER_FILES,
    ComposeFileFacts,
    ComposeServiceFacts,
    ContainerCommand,
)
from argosy.refit.analysis.facts.installed_packages import INSTALLS
from argosy.refit.analysis.requirement_lists import find_build_context, join_context
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import TextFile
from argosy.refit.core.source_tree import SourceTree
from argosy.source.install_manifests import DOCKERFILE_PATTERNS, FileInstalls

_PLAIN_BASE_IMAGE = re.compile(
    r"(?:docker\.io/)?(?:library/)?(?:python|debian|ubuntu|alpine|nvidia/cuda)(?:[:@]|$)"
)
_USER_CREATION = re.compile(r"(?:useradd|adduser|addgroup)\b[^;&|]*")
_SCRIPT_PATH = re.compile(r"[\w./-]+\.(?:py|sh)")
_INTERPRETERS = frozenset({"python", "python3", "sh", "bash", "/bin/sh", "/bin/bash"})


def check_text(file: TextFile) -> Iterator[Finding]:
    """Report the faults of a Dockerfile by itself."""
    for item, fault in find_dockerfile_faults(file.text):
        yield file.make_finding(item.line, 1, fault, symbol=item.keyword)
    created_users: list[str] = []
    has_plain_base = False
    for item in read_instructions(file.text):
        if item.keyword == "FROM":
            words = item.arguments.split()
            has_plain_base = bool(words) and _PLAIN_BASE_IMAGE.match(words[0]) is not None
            created_users = created_users if words and not has_plain_base else []
        elif item.keyword == "RUN":
            created_users += [
                part for found in _USER_CREATION.findall(item.arguments) for part in found.split()
            ]
        elif item.keyword == "USER" and has_plain_base:
            user = item.arguments.partition(":")[0]
            if user.isidentifier() and user not in ("root", "nobody") and user not in created_users:
                message = (
                    f"`USER {user}`: no instruction creates that user, and the base image does not have it"
                )
                yield file.make_finding(item.line, 1, message, symbol=user)


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report files that container files name and the tree does not have."""
    installs = tree.facts(INSTALLS)
    contexts: dict[str, set[str]] = {}
    for path, facts in tree.facts(CONTAINER_FILES).items():
        if facts.compose is not None:
            for service in facts.compose.services:
                if service.context and service.dockerfile:
                    context = join_context(posixpath.dirname(path), service.context)
                    contexts.setdefault(join_context(context, service.dockerfile), set()).add(context)
            yield from _check_compose_file(tree, path, facts.compose)
    for path, facts in tree.facts(CONTAINER_FILES).items():
        if facts.dockerfile is not None and path in installs:
            image_installs = installs[path]
            build_contexts = contexts.get(path) or {find_build_context(tree, path, image_installs)}
            yield from _check_copies(tree, path, image_installs, build_contexts)
            if facts.dockerfile.command is not None:
                yield from _check_command(
                    tree, path, facts.dockerfile.command, image_installs, build_contexts
                )


def _check_copies(
    tree: SourceTree, path: str, installs: FileInstalls, contexts: set[str]
) -> Iterator[Finding]:
    for copied in installs.copies or ():
        for source in copied.sources:
            if "$" in source or "://" in source or source.startswith("git@"):
                continue
            if not any(tree.has_path(join_context(context, source)) for context in contexts):
                where = " or ".join(f"`{context or '.'}`" for context in sorted(contexts))
                message = f"`{source}` is copied, and is not in the build context {where}"
                yield Finding(path, copied.line, 1, "", message, symbol=source)


def _check_command(
    tree: SourceTree, path: str, command: ContainerCommand, installs: FileInstalls, contexts: set[str]
) -> Iterator[Finding]:
    """Report a script that is not in the copied folder it should come from."""
    script = next((word for word in command.argv if _SCRIPT_PATH.fullmatch(word)), "")
    if not script or (command.argv[0] != script and command.argv[0] not in _INTERPRETERS):
        return
    inside = posixpath.normpath(posixpath.join(command.working_dir, script))
    origins: list[str] = []
    for copied in installs.copies or ():
        target = posixpath.normpath(posixpath.join(command.working_dir, copied.target))
        for source in copied.sources:
            if "$" in source + copied.target:
                return
            name = posixpath.basename(source.rstrip("/"))
            if inside in (target, posixpath.join(target, name)):
                return
            if inside.startswith(target.rstrip("/") + "/"):
                origins.append(posixpath.join(source, inside[len(target.rstrip("/")) + 1 :]))
    if origins and not any(
        tree.has_path(join_context(context, one)) for context in contexts for one in origins
    ):
        message = f"`{script}` is started by the image, and `{origins[-1]}` is not in the tree"
        yield Finding(path, command.line, 1, "", message, symbol=script)


def _check_compose_file(tree: SourceTree, path: str, compose: ComposeFileFacts) -> Iterator[Finding]:
    directory = posixpath.dirname(path)
    sibling_services: dict[str, bool] = {}
    for other_path, facts in tree.facts(CONTAINER_FILES).items():
        if facts.compose is not None and posixpath.dirname(other_path) == directory:
            for one in facts.compose.services:
                sibling_services[one.name] = sibling_services.get(one.name, False) or one.has_image_or_build
    port_owners: dict[str, str] = {}
    for service in compose.services:
        yield from _check_service(
            tree, path, service, sibling_services, has_external_services=compose.has_external_services
        )
        for port in service.ports:
            owner = port_owners.setdefault(port.host_binding, service.name)
            if owner != service.name and not service.has_profile:
                number = port.host_binding.partition("/")[0].lstrip(":")
                message = f"`{service.name}` publishes host port {number}, which `{owner}` publishes too"
                yield Finding(path, port.line, port.column, "", message, symbol=f"{service.name}-{number}")


def _check_service(
    tree: SourceTree,
    path: str,
    service: ComposeServiceFacts,
    sibling_services: Mapping[str, bool],
    *,
    has_external_services: bool,
) -> Iterator[Finding]:
    def make_finding(message: str, subject: str) -> Finding:
        return Finding(path, service.line, service.column, "", message, symbol=f"{service.name}:{subject}")

    if service.context:
        context = join_context(posixpath.dirname(path), service.context)
        dockerfile = join_context(context, service.dockerfile)
        if context.startswith(".."):
            return
        if not tree.has_path(context or "."):
            yield make_finding(f"`{service.name}` is built from `{context}`, which does not exist", "context")
        elif service.dockerfile and not tree.has_path(dockerfile):
            yield make_finding(
                f"`{service.name}` is built by `{dockerfile}`, which does not exist", "dockerfile"
            )
    for need in service.depends_on:
        if need not in sibling_services and not has_external_services:
            yield make_finding(f"`{service.name}` depends on `{need}`, and no service has that name", need)
    if not has_external_services and not sibling_services[service.name]:
        yield make_finding(f"`{service.name}` has neither `image` nor `build`", "image")


RULE = Rule(
    code="I603",
    title="container file fault",
    action="report",
    file_patterns=DOCKERFILE_PATTERNS,
    check_text=check_text,
    fact_kinds=(CONTAINER_FILES, INSTALLS),
    check_tree=check,
)

_COMPOSE = "services:\n  a:\n    build: .\n    ports: ['80:80']\n"
MUST = (
    RuleCase(
        files={"Dockerfile": "FROM python:3.12\n    LANG=C \\\n    TZ=UTC\nUSER ai\nCMD\n"},
        expected_lines=(2, 4, 5),
    ),
    RuleCase(files={"Dockerfile": "RUN true\nFROM python\nCMD ['python', 'a.py']\n"}, expected_lines=(1, 3)),
    RuleCase(
        files={"Dockerfile": "FROM python\nCOPY gone.txt a.py /app/\n", "a.py": ""}, expected_lines=(2,)
    ),
    RuleCase(
        files={
            "docker/x/Dockerfile": "FROM python\nWORKDIR /app\nCOPY src /app/src\n"
            'CMD ["python", "src/gone.py"]\n',
            "src/a.py": "",
        },
        expected_lines=(4,),
    ),
    RuleCase(
        files={
            "docker-compose.yml": "services:\n  a:  # <--\n"
            "    build: {context: ., dockerfile: gone.Dockerfile}\n"
            "  b:  # <--\n    image: x\n    depends_on: [c]\n    ports: ['80:80']\n"
            "  d:\n    image: x\n    ports:\n      - '80:81'  # <--\n"
        }
    ),
)
MUST_NOT = (
    RuleCase(
        files={"Dockerfile": 'FROM python\nCOPY . /app\nWORKDIR /app\nCMD ["python", "a.py"]\n', "a.py": ""}
    ),
    RuleCase(
        files={
            "Dockerfile": "FROM base\nUSER ai\nCOPY --from=build /x /y\nCOPY $WHAT /z\nADD https://x/y /y\n"
        }
    ),
    RuleCase(
        files={"Dockerfile": "FROM ubuntu\nRUN groupadd ai && useradd -g ai ai\nUSER ai\nCMD python -m app\n"}
    ),
    RuleCase(files={"Dockerfile": "FROM python AS a\nRUN useradd ai\nFROM a\nUSER ai\n"}),
    RuleCase(files={"Dockerfile": "# note\nARG V=3\nFROM python:$V\nRUN <<EOF\nwhatever\nEOF\n"}),
    RuleCase(
        files={
            "docker-compose.yml": _COMPOSE + "    depends_on: {b: {condition: service_healthy}}\n",
            "docker-compose.dev.yml": "services:\n  b:\n    image: x\n"
            "    ports: ['127.0.0.1:80:80', '81', '90-91:90-91']\n",
            "Dockerfile": "FROM python\n",
        }
    ),
    RuleCase(
        files={
            "deploy/compose.yaml": "services:\n  a:\n"
            "    build: {context: .., dockerfile: deploy/a.Dockerfile}\n",
            "deploy/a.Dockerfile": "FROM python\nCOPY src /src\n",
            "src/a.py": "",
        }
    ),
)
