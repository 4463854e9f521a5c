"""A hadolint finding in a Dockerfile

hadolint checks Docker practices (`DL3008`) and, with ShellCheck, the shell of RUN (`SC2086`). Its errors and
warnings are reported, by its own codes; its levels info and style are not. What I603 reports about a line, or
about a file that Docker cannot read, is not reported twice. `.hadolint.yaml` at the root of the tree applies,
whose `override` moves a code from one level to another, and so do comments (`# hadolint ignore=DL3008`).

It is a separate program (`pip install 'argosy[docker]'`, or on PATH). Without it the rule is skipped.

Instead: follow the code's page in the wiki of hadolint or ShellCheck.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from argosy.fleet.dockerfile import find_dockerfile_faults
from argosy.refit.core.finding import Finding
from argosy.refit.core.hadolint import (
    CONFIG_NAMES,
    HadolintError,
    HadolintFinding,
    describe_missing_hadolint,
    run_hadolint,
)
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import TextFile
from argosy.source.install_manifests import DOCKERFILE_PATTERNS

_REPORTED_LEVELS = ("error", "warning")
_UNREADABLE = "DL1000"


def check(files: Sequence[TextFile]) -> list[Iterator[Finding]]:
    """Report hadolint's findings in Dockerfiles that I603 does not report."""
    try:
        findings_by_file, config_error = run_hadolint(files[0].root, [file.text for file in files])
    except HadolintError:
        if len(files) == 1:
            raise
        # One of the files makes it fail: the others are still checked.
        return [_check_alone(file) for file in files]
    return [
        _make_findings(file, findings, config_error)
        for file, findings in zip(files, findings_by_file, strict=True)
    ]


def _check_alone(file: TextFile) -> Iterator[Finding]:
    yield from check([file])[0]


def _make_findings(
    file: TextFile, hadolint_findings: Iterable[HadolintFinding], config_error: str
) -> Iterator[Finding]:
    if config_error:
        yield Finding(
            CONFIG_NAMES[0],
            1,
            1,
            "",
            f"hadolint cannot read it: {_as_one_line(config_error)}",
            symbol="config",
        )
    faulty_lines = {item.line for item, _ in find_dockerfile_faults(file.text)}
    for finding in hadolint_findings:
        is_reported = bool(faulty_lines) if finding.code == _UNREADABLE else finding.line in faulty_lines
        if finding.level in _REPORTED_LEVELS and not is_reported:
            message = f"{finding.code}: {_as_one_line(finding.message)}"
            yield file.make_finding(
                max(finding.line, 1), max(finding.column, 1), message, symbol=finding.code
            )


def _as_one_line(text: str) -> str:
    return " ".join(text.split())


RULE = Rule(
    code="I604",
    title="hadolint finding",
    action="report",
    file_patterns=DOCKERFILE_PATTERNS,
    check_texts=check,
    find_missing_tool=describe_missing_hadolint,
)

MUST = (
    RuleCase(files={"Dockerfile": "FROM python\nRUN cd /x && make  # <--\n"}, expected_lines=(1, 2)),
    RuleCase(files={"a.Dockerfile": "FROM python:3.12 AS a\nFROM python:3.12 AS a\n"}, expected_lines=(2,)),
    RuleCase(
        files={
            "Dockerfile": "FROM python\nRUN sudo make\n",
            ".hadolint.yaml": "ignored: [DL3006]\n",
        },
        expected_lines=(2,),
    ),
    RuleCase(
        files={
            "Dockerfile": "FROM python:3.12\nRUN apt-get install -y gcc=4\n",
            ".hadolint.yml": "override: {warning: [DL3015]}\n",
        },
        expected_lines=(2,),
    ),
    RuleCase(files={"Dockerfile": "FROM python:3.12\nRUN if true; then\n"}, expected_lines=(2,)),
)
MUST_NOT = (
    RuleCase(
        files={"Dockerfile": 'FROM python:3.12\nCOPY a.py /a.py\nCMD ["python", "/a.py"]\n', "a.py": ""}
    ),
    RuleCase(files={"Dockerfile": "FROM python:3.12\n    LANG=C\nRUN cd /x\n"}),
    RuleCase(files={"Dockerfile": "FROM python:3.12\nRUN apt-get install -y gcc=4\n"}),
    RuleCase(files={"Dockerfile": "FROM python:3.12\n# hadolint ignore=DL3004\nRUN sudo make\n"}),
    RuleCase(files={"Dockerfile": "FROM python:3.12\nRUN sudo make  # argosy: ignore[I604]\n"}),
)
