"""hadolint, a linter of Dockerfiles, as a program beside argosy: where it is, and what it says of a text.

It is never required. What a tree says about it is one file, `.hadolint.yaml` at the root; files of the user
and variables are kept from it, so that the same tree has the same findings everywhere.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from argosy.extra import install_command
from argosy.source.text import read_data

if TYPE_CHECKING:
    import subprocess

CONFIGS = (".hadolint.yaml", ".hadolint.yml")
_PROGRAM = "hadolint"
_WAIT_S = 30.0


class Remark(msgspec.Struct, frozen=True):
    """One thing that it says. code: its own, such as `DL3008`; level: `error`, `warning`, `info`, `style`.

    file: by the name that it was given.
    """

    code: str
    level: str
    line: int
    column: int
    message: str
    file: str = ""


class HadolintError(Exception):
    """The program gave no answer.

    path: of the program. reason: what it did instead.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"`{path}` gave no answer: {reason}")


def find_hadolint() -> str:
    """Return the path of the program, an empty text where there is none.

    The environment of this interpreter comes before PATH, of which relative folders are left out: they would
    lead into the tree.
    """
    folders = [os.path.dirname(sys.executable), *os.environ.get("PATH", "").split(os.pathsep)]
    paths = (os.path.join(folder, _PROGRAM) for folder in folders if os.path.isabs(folder))
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), "")


def missing_hadolint() -> str:
    """Return why no Dockerfile can be shown to it, an empty text where one can."""
    return "" if find_hadolint() else f"`hadolint` is not installed (`{install_command('docker')}`)"


def hadolint_key(root: str) -> Iterator[bytes]:
    """Yield what tells this hadolint, and what a tree says to it, from another."""
    program = find_hadolint()
    if program:
        status = os.stat(program)
        yield f"{program} {status.st_size} {status.st_mtime_ns} {status.st_ino}".encode(
            errors="surrogateescape"
        )
        yield _config_of(root)[1]


def ask_hadolint(root: str, texts: Sequence[str]) -> tuple[list[list[Remark]], str]:
    """Return what it says of each Dockerfile's text, and what it cannot read in the tree's own configuration.

    It is started once for all of them: to start it takes as long as to have it read one. Nothing where the
    program has gone since it was looked for.
    Raises HadolintError: it cannot be run, takes longer than 30 s, or answers in another form.
    """
    program = find_hadolint()
    if not program:
        return [[] for _ in texts], ""
    config, data = _config_of(root)
    words = [program, "--no-fail", "--format", "json", *(["--config", config] if data else [])]
    with _laid_out(texts) as paths:
        done = _run([*words, *paths], texts[0] if paths == ["-"] else "")
    try:
        remarks = msgspec.json.decode(done.stdout, type=tuple[Remark, ...])
        told = [[item for item in remarks if item.file == path or len(paths) == 1] for path in paths]
    except (msgspec.DecodeError, ValueError) as error:
        said = done.stderr.decode(errors="replace").strip()[:200]
        raise HadolintError(program, f"exit code {done.returncode}, {said or error}") from error
    return told, done.stderr.decode(errors="replace").strip()


@contextlib.contextmanager
def _laid_out(texts: Sequence[str]) -> Iterator[list[str]]:
    """Give texts the names by which the program reads them: its stdin for one, else files of their own."""
    if len(texts) == 1:
        yield ["-"]
        return
    import tempfile  # noqa: PLC0415 - one edit is of one file

    with tempfile.TemporaryDirectory(prefix="argosy-") as folder:
        paths = [os.path.join(folder, str(number)) for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            with open(path, "wb") as file:
                file.write(text.encode())
        yield paths


def _run(words: Sequence[str], text: str) -> subprocess.CompletedProcess[bytes]:
    import subprocess  # noqa: PLC0415 - only files that have changed are shown to it

    # It would look for configuration in its folder and below HOME.
    env = {"PATH": os.defpath, "HOME": "/", "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            words, input=text.encode(), capture_output=True, cwd="/", env=env, timeout=_WAIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HadolintError(words[0], str(error)) from error


def _config_of(root: str) -> tuple[str, bytes]:
    """Return the path and the content of what a tree says to hadolint; no content where there is nothing."""
    for name in CONFIGS:
        path = os.path.join(root, name)
        data = read_data(path)
        if isinstance(data, bytes):
            return path, data
    return "", b""
