"""A container file that cannot work

In a Dockerfile: a line that is no instruction, an instruction without its text, a list that is none, a first
instruction other than FROM or ARG, a user that nobody made, a source of COPY that the build context has not,
a script of CMD or ENTRYPOINT that is not where its folder was copied from. In a Compose file: a Dockerfile or
context that is not there, a dependency on a service that no file beside it has, a port of the machine that
two services take, a service that says neither image nor build.

A context is what a Compose file says, else the nearest folder above that has most of the sources. What a
variable, a glob of the shell or another image decides is not told.

Instead: mend the file; `docker build --check` and `docker compose config` see a part of this.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from argosy.fleet.dockerfile import find_faults, read_instructions
from argosy.refit.facts.containers import CONTAINERS, Compose, Service, Start
from argosy.refit.facts.installs import INSTALLS
from argosy.refit.file import TextFile
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.supply import context_of, joined
from argosy.refit.tree import Tree
from argosy.source.installs import DOCKERFILES, Installs

_PLAIN = re.compile(r"(?:docker\.io/)?(?:library/)?(?:python|debian|ubuntu|alpine|nvidia/cuda)(?:[:@]|$)")
_MADE = re.compile(r"(?:useradd|adduser|addgroup)\b[^;&|]*")
_SCRIPT = re.compile(r"[\w./-]+\.(?:py|sh)")
_RUNNERS = frozenset({"python", "python3", "sh", "bash", "/bin/sh", "/bin/bash"})


def check_text(file: TextFile) -> Iterator[Finding]:
    """Tell what is wrong with a Dockerfile in itself."""
    for item, fault in find_faults(file.text):
        yield file.finding(item.line, 1, fault, symbol=item.word)
    made: list[str] = []
    is_plain = False
    for item in read_instructions(file.text):
        if item.word == "FROM":
            words = item.text.split()
            is_plain = bool(words) and _PLAIN.match(words[0]) is not None
            made = made if words and not is_plain else []
        elif item.word == "RUN":
            made += [part for found in _MADE.findall(item.text) for part in found.split()]
        elif item.word == "USER" and is_plain:
            user = item.text.partition(":")[0]
            if user.isidentifier() and user not in ("root", "nobody") and user not in made:
                message = f"`USER {user}`: nothing here makes that user, and the base image has none"
                yield file.finding(item.line, 1, message, symbol=user)


def check(tree: Tree) -> Iterator[Finding]:
    """Tell what container files name that the tree has not."""
    installs = tree.facts(INSTALLS)
    contexts: dict[str, set[str]] = {}
    for path, held in tree.facts(CONTAINERS).items():
        if held.compose is not None:
            for service in held.compose.services:
                if service.context and service.dockerfile:
                    context = joined(posixpath.dirname(path), service.context)
                    contexts.setdefault(joined(context, service.dockerfile), set()).add(context)
            yield from _in_compose(tree, path, held.compose)
    for path, held in tree.facts(CONTAINERS).items():
        if held.image is not None and path in installs:
            own = installs[path]
            places = contexts.get(path) or {context_of(tree, path, own)}
            yield from _copies(tree, path, own, places)
            if held.image.start is not None:
                yield from _start(tree, path, held.image.start, own, places)


def _copies(tree: Tree, path: str, own: Installs, contexts: set[str]) -> Iterator[Finding]:
    for copied in own.copied or ():
        for source in copied.sources:
            if "$" in source or "://" in source or source.startswith("git@"):
                continue
            if not any(tree.has(joined(context, source)) for context in contexts):
                where = " or ".join(f"`{context or '.'}`" for context in sorted(contexts))
                message = f"`{source}` is copied, and the build context {where} has none"
                yield Finding(path, copied.line, 1, "", message, symbol=source)


def _start(tree: Tree, path: str, start: Start, own: Installs, contexts: set[str]) -> Iterator[Finding]:
    """Tell a script that a copied folder should hold, and does not."""
    script = next((word for word in start.words if _SCRIPT.fullmatch(word)), "")
    if not script or (start.words[0] != script and start.words[0] not in _RUNNERS):
        return
    inside = posixpath.normpath(posixpath.join(start.folder, script))
    origins: list[str] = []
    for copied in own.copied or ():
        target = posixpath.normpath(posixpath.join(start.folder, copied.target))
        for source in copied.sources:
            if "$" in source + copied.target:
                return
            name = posixpath.basename(source.rstrip("/"))
            if inside in (target, posixpath.join(target, name)):
                return
            if inside.startswith(target.rstrip("/") + "/"):
                origins.append(posixpath.join(source, inside[len(target.rstrip("/")) + 1 :]))
    if origins and not any(tree.has(joined(context, one)) for context in contexts for one in origins):
        message = f"`{script}` is what the image starts, and `{origins[-1]}` is not in the tree"
        yield Finding(path, start.line, 1, "", message, symbol=script)


def _in_compose(tree: Tree, path: str, compose: Compose) -> Iterator[Finding]:
    folder = posixpath.dirname(path)
    beside: dict[str, bool] = {}
    for other, held in tree.facts(CONTAINERS).items():
        if held.compose is not None and posixpath.dirname(other) == folder:
            for one in held.compose.services:
                beside[one.name] = beside.get(one.name, False) or one.has_image
    taken: dict[str, str] = {}
    for service in compose.services:
        yield from _in_service(tree, path, service, beside, is_open=compose.is_open)
        for port in service.ports:
            holder = taken.setdefault(port.host, service.name)
            if holder != service.name and not service.is_profiled:
                number = port.host.partition("/")[0].lstrip(":")
                message = f"`{service.name}` takes {number} of the machine, which `{holder}` takes too"
                yield Finding(path, port.line, port.column, "", message, symbol=f"{service.name}-{number}")


def _in_service(
    tree: Tree, path: str, service: Service, beside: Mapping[str, bool], *, is_open: bool
) -> Iterator[Finding]:
    def told(message: str, about: str) -> Finding:
        return Finding(path, service.line, service.column, "", message, symbol=f"{service.name}:{about}")

    if service.context:
        context = joined(posixpath.dirname(path), service.context)
        dockerfile = joined(context, service.dockerfile)
        if context.startswith(".."):
            return
        if not tree.has(context or "."):
            yield told(f"`{service.name}` is built from `{context}`, which is not there", "context")
        elif service.dockerfile and not tree.has(dockerfile):
            yield told(f"`{service.name}` is built by `{dockerfile}`, which is not there", "dockerfile")
    for need in service.needs:
        if need not in beside and not is_open:
            yield told(f"`{service.name}` depends on `{need}`, and no service is called so", need)
    if not is_open and not beside[service.name]:
        yield told(f"`{service.name}` says neither an image nor a build", "image")


RULE = Rule(
    code="I603",
    title="container file fault",
    action="report",
    names=DOCKERFILES,
    text=check_text,
    needs=(CONTAINERS, INSTALLS),
    tree=check,
)

_COMPOSE = "services:\n  a:\n    build: .\n    ports: ['80:80']\n"
MUST = (
    Case(
        files={"Dockerfile": "FROM python:3.12\n    LANG=C \\\n    TZ=UTC\nUSER ai\nCMD\n"}, lines=(2, 4, 5)
    ),
    Case(files={"Dockerfile": "RUN true\nFROM python\nCMD ['python', 'a.py']\n"}, lines=(1, 3)),
    Case(files={"Dockerfile": "FROM python\nCOPY gone.txt a.py /app/\n", "a.py": ""}, lines=(2,)),
    Case(
        files={
            "docker/x/Dockerfile": "FROM python\nWORKDIR /app\nCOPY src /app/src\n"
            'CMD ["python", "src/gone.py"]\n',
            "src/a.py": "",
        },
        lines=(4,),
    ),
    Case(
        files={
            "docker-compose.yml": "services:\n  a:  # <--\n"
            "    build: {context: ., dockerfile: gone.Dockerfile}\n"
            "  b:  # <--\n    image: x\n    depends_on: [c]\n    ports: ['80:80']\n"
            "  d:\n    image: x\n    ports:\n      - '80:81'  # <--\n"
        }
    ),
)
MUST_NOT = (
    Case(
        files={"Dockerfile": 'FROM python\nCOPY . /app\nWORKDIR /app\nCMD ["python", "a.py"]\n', "a.py": ""}
    ),
    Case(
        files={
            "Dockerfile": "FROM base\nUSER ai\nCOPY --from=build /x /y\nCOPY $WHAT /z\nADD https://x/y /y\n"
        }
    ),
    Case(
        files={"Dockerfile": "FROM ubuntu\nRUN groupadd ai && useradd -g ai ai\nUSER ai\nCMD python -m app\n"}
    ),
    Case(files={"Dockerfile": "FROM python AS a\nRUN useradd ai\nFROM a\nUSER ai\n"}),
    Case(files={"Dockerfile": "# note\nARG V=3\nFROM python:$V\nRUN <<EOF\nwhatever\nEOF\n"}),
    Case(
        files={
            "docker-compose.yml": _COMPOSE + "    depends_on: {b: {condition: service_healthy}}\n",
            "docker-compose.dev.yml": "services:\n  b:\n    image: x\n"
            "    ports: ['127.0.0.1:80:80', '81', '90-91:90-91']\n",
            "Dockerfile": "FROM python\n",
        }
    ),
    Case(
        files={
            "deploy/compose.yaml": "services:\n  a:\n"
            "    build: {context: .., dockerfile: deploy/a.Dockerfile}\n",
            "deploy/a.Dockerfile": "FROM python\nCOPY src /src\n",
            "src/a.py": "",
        }
    ),
)
