"""Runs hadolint, a linter for Dockerfiles, if it is installed.

It is optional. Its only configuration is `.hadolint.yaml` at the root of the tree; the user's files and
environment variables are hidden from it, so that a tree has the same findings everywhere.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from argosy.extra import install_command
from argosy.source.python_source import read_source_bytes

if TYPE_CHECKING:
    import subprocess

CONFIG_NAMES = (".hadolint.yaml", ".hadolint.yml")
_PROGRAM = "hadolint"
_TIMEOUT_S = 30.0


class HadolintFinding(msgspec.Struct, frozen=True):
    """One finding of hadolint. code: its own, such as `DL3008`. level: `error`, `warning`, `info` or `style`.

    file: the name that it was given.
    """

    code: str
    level: str
    line: int
    column: int
    message: str
    file: str = ""


class HadolintError(Exception):
    """hadolint gave no usable answer.

    path: of the program. reason: what it did instead.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"`{path}` gave no answer: {reason}")


def find_hadolint() -> str:
    """Return the path of the program, an empty string if it is not installed.

    The environment of this interpreter comes before PATH. Relative folders on PATH are ignored: they would
    lead into the tree.
    """
    directories = [os.path.dirname(sys.executable), *os.environ.get("PATH", "").split(os.pathsep)]
    paths = (os.path.join(folder, _PROGRAM) for folder in directories if os.path.isabs(folder))
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), "")


def describe_missing_hadolint() -> str:
    """Return why Dockerfiles cannot be linted, an empty string if they can."""
    return "" if find_hadolint() else f"`hadolint` is not installed (`{install_command('docker')}`)"


def hadolint_fingerprint(root: str) -> Iterator[bytes]:
    """Yield bytes that identify this hadolint and the tree's configuration of it."""
    program = find_hadolint()
    if program:
        status = os.stat(program)
        yield f"{program} {status.st_size} {status.st_mtime_ns} {status.st_ino}".encode(
            errors="surrogateescape"
        )
        yield _read_config(root)[1]


def run_hadolint(root: str, dockerfiles: Sequence[str]) -> tuple[list[list[HadolintFinding]], str]:
    """Return the findings for each Dockerfile's text, and what is wrong with the tree's configuration.

    One process reads all of them: starting it takes as long as linting one. Returns no findings if the
    program has been removed since it was found. Raises HadolintError: it cannot be run, takes longer than 30
    s, or answers in an unknown form.
    """
    program = find_hadolint()
    if not program:
        return [[] for _ in dockerfiles], ""
    config, data = _read_config(root)
    command = [program, "--no-fail", "--format", "json", *(["--config", config] if data else [])]
    with _written_to_files(dockerfiles) as paths:
        process = _run_process([*command, *paths], dockerfiles[0] if paths == ["-"] else "")
    try:
        findings = msgspec.json.decode(process.stdout, type=tuple[HadolintFinding, ...])
        findings_by_file = [
            [item for item in findings if item.file == path or len(paths) == 1] for path in paths
        ]
    except (msgspec.DecodeError, ValueError) as error:
        stderr = process.stderr.decode(errors="replace").strip()[:200]
        raise HadolintError(program, f"exit code {process.returncode}, {stderr or error}") from error
    return findings_by_file, process.stderr.decode(errors="replace").strip()


@contextlib.contextmanager
def _written_to_files(dockerfiles: Sequence[str]) -> Iterator[list[str]]:
    """Yield the arguments that name the texts: stdin for one, temporary files for several."""
    if len(dockerfiles) == 1:
        yield ["-"]
        return
    import tempfile  # noqa: PLC0415 - an edit changes one file

    with tempfile.TemporaryDirectory(prefix="argosy-") as directory:
        paths = [os.path.join(directory, str(number)) for number in range(len(dockerfiles))]
        for path, text in zip(paths, dockerfiles, strict=True):
            with open(path, "wb") as file:
                file.write(text.encode())
        yield paths


def _run_process(command: Sequence[str], stdin_text: str) -> subprocess.CompletedProcess[bytes]:
    import subprocess  # noqa: PLC0415 - only changed files are linted

    # It would search for configuration in its working folder and below HOME.
    env = {"PATH": os.defpath, "HOME": "/", "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            command,
            input=stdin_text.encode(),
            capture_output=True,
            cwd="/",
            env=env,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HadolintError(command[0], str(error)) from error


def _read_config(root: str) -> tuple[str, bytes]:
    """Return the path and content of the tree's hadolint configuration; no content if there is none."""
    for name in CONFIG_NAMES:
        path = os.path.join(root, name)
        data = read_source_bytes(path)
        if isinstance(data, bytes):
            return path, data
    return "", b""
