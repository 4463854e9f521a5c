"""What hadolint says of a Dockerfile

hadolint knows Docker's practices (`DL3008`) and, by ShellCheck, the shell of RUN (`SC2086`). Its errors and
warnings are told, by its own codes; its levels info and style are not. What I603 tells of a line, or of a
file that Docker cannot read, is not told twice. `.hadolint.yaml` at the root of the tree counts, whose
`override` moves a code from one level to another, and so do comments (`# hadolint ignore=DL3008`).

It is a program of its own (`pip install 'argosy[docker]'`, or on PATH). Without it the rule is not asked.

Instead: what its code says; hadolint's wiki and ShellCheck's have a page for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from argosy.fleet.dockerfile import find_faults
from argosy.refit.file import TextFile
from argosy.refit.finding import Finding
from argosy.refit.hadolint import CONFIGS, HadolintError, Remark, ask_hadolint, missing_hadolint
from argosy.refit.rule import Case, Rule
from argosy.source.installs import DOCKERFILES

_TOLD = ("error", "warning")
_UNREADABLE = "DL1000"


def check(files: Sequence[TextFile]) -> list[Iterator[Finding]]:
    """Tell what hadolint says of Dockerfiles beyond what I603 does."""
    try:
        told, trouble = ask_hadolint(files[0].root, [file.text for file in files])
    except HadolintError:
        if len(files) == 1:
            raise
        # Whichever it is that makes it fail, the others are told.
        return [_alone(file) for file in files]
    return [_found(file, remarks, trouble) for file, remarks in zip(files, told, strict=True)]


def _alone(file: TextFile) -> Iterator[Finding]:
    yield from check([file])[0]


def _found(file: TextFile, remarks: Iterable[Remark], trouble: str) -> Iterator[Finding]:
    if trouble:
        yield Finding(CONFIGS[0], 1, 1, "", f"hadolint cannot read it: {_line(trouble)}", symbol="config")
    faulty = {item.line for item, _ in find_faults(file.text)}
    for remark in remarks:
        is_known = bool(faulty) if remark.code == _UNREADABLE else remark.line in faulty
        if remark.level in _TOLD and not is_known:
            message = f"{remark.code}: {_line(remark.message)}"
            yield file.finding(max(remark.line, 1), max(remark.column, 1), message, symbol=remark.code)


def _line(text: str) -> str:
    return " ".join(text.split())


RULE = Rule(
    code="I604",
    title="remark of hadolint",
    action="report",
    names=DOCKERFILES,
    texts=check,
    lacks=missing_hadolint,
)

MUST = (
    Case(files={"Dockerfile": "FROM python\nRUN cd /x && make  # <--\n"}, lines=(1, 2)),
    Case(files={"a.Dockerfile": "FROM python:3.12 AS a\nFROM python:3.12 AS a\n"}, lines=(2,)),
    Case(
        files={
            "Dockerfile": "FROM python\nRUN sudo make\n",
            ".hadolint.yaml": "ignored: [DL3006]\n",
        },
        lines=(2,),
    ),
    Case(
        files={
            "Dockerfile": "FROM python:3.12\nRUN apt-get install -y gcc=4\n",
            ".hadolint.yml": "override: {warning: [DL3015]}\n",
        },
        lines=(2,),
    ),
    Case(files={"Dockerfile": "FROM python:3.12\nRUN if true; then\n"}, lines=(2,)),
)
MUST_NOT = (
    Case(files={"Dockerfile": 'FROM python:3.12\nCOPY a.py /a.py\nCMD ["python", "/a.py"]\n', "a.py": ""}),
    Case(files={"Dockerfile": "FROM python:3.12\n    LANG=C\nRUN cd /x\n"}),
    Case(files={"Dockerfile": "FROM python:3.12\nRUN apt-get install -y gcc=4\n"}),
    Case(files={"Dockerfile": "FROM python:3.12\n# hadolint ignore=DL3004\nRUN sudo make\n"}),
    Case(files={"Dockerfile": "FROM python:3.12\nRUN sudo make  # argosy: ignore[I604]\n"}),
)
