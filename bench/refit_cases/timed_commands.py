"""Runs commands as users do and measures their time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from argosy.fault import Fault, MissingError

_ARGOSY = "import sys; from argosy.cli import main; sys.exit(main(sys.argv[1:]))"


class CompletedCommand(msgspec.Struct, frozen=True):
    """A finished command. rss_bytes: the largest resident size of its processes. stdout: its output."""

    seconds: float
    rss_bytes: int
    code: int
    stdout: str


def run(words: Sequence[str], env: Mapping[str, str] | None = None) -> CompletedCommand:
    """Run a command to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began_s = time.perf_counter()
        process = subprocess.Popen(words, stdout=out, stderr=err, env={**os.environ, **(env or {})})
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read(), err.read()
    if process.returncode not in (0, 1):
        raise MissingError(
            Fault(
                words[0],
                "failed",
                f"`{' '.join(words[:6])}` ended with {process.returncode}: {stderr[-300:]}",
            )
        )
    return CompletedCommand(seconds, usage.ru_maxrss * 1024, process.returncode, stdout)


def argosy(*words: str, cache: Path) -> CompletedCommand:
    """Run argosy with the interpreter of the bench. cache: its cache folder."""
    return run([sys.executable, "-c", _ARGOSY, *words], {"XDG_CACHE_HOME": str(cache)})


def parsed_json(done: CompletedCommand) -> dict[str, Any]:
    """Return the JSON object that a command printed."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found
