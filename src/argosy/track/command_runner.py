"""Runs the command of a measure and reads a number from its output."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from argosy.track.inputs import expand_variables, unset_variables
from argosy.track.track_spec import Measure, OutputParser

_ERROR_TAIL_CHARACTERS = 300


class MeasurementError(Exception):
    """A value cannot be measured; the text says why."""


class MeasureOutput(msgspec.Struct, frozen=True):
    """A command's stdout, exit code and stderr."""

    text: str
    exit_code: int
    errors: str


def run_command(measure: Measure, directory: str, variables: Mapping[str, str]) -> MeasureOutput:
    """Run a measure's command in the tracker's directory; `python` is the interpreter that runs argosy.

    Raises MeasurementError: a variable is not set, the program is missing, or the time-out has passed.
    """
    missing = [name for word in measure.command for name in unset_variables(word, variables)]
    if missing:
        raise MeasurementError(f"`${missing[0]}` is not set")
    command = [expand_variables(word, variables) for word in measure.command]
    if command[0] == "python":
        command[0] = sys.executable
    env = {**variables, **{name: expand_variables(value, variables) for name, value in measure.env}}
    env["PATH"] = os.path.dirname(sys.executable) + os.pathsep + env.get("PATH", os.defpath)
    try:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise MeasurementError(f"`{command[0]}` cannot be run: {(error.strerror or '').lower()}") from None
    with process:
        try:
            out, errors = process.communicate(timeout=measure.timeout_s)
        except subprocess.TimeoutExpired:
            _terminate(process)
            raise MeasurementError(f"it timed out after {measure.timeout_s:g} s") from None
        except BaseException:
            _terminate(process)
            raise
    return MeasureOutput(
        out.decode("utf-8", "replace"), process.returncode, errors.decode("utf-8", "replace")
    )


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a command's process group, then kill it, so that it can clean up first."""
    for number, wait_s in ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=wait_s)
            return


def parse_number_output(output: MeasureOutput, parser: OutputParser) -> float:
    """Return the number in an output.

    Raises MeasurementError: there is none, or the command failed.
    """
    if parser.kind == "exit":
        return float(output.exit_code)
    if output.exit_code not in (0, 1):
        error_tail = (
            output.errors.strip()[-_ERROR_TAIL_CHARACTERS:] or output.text.strip()[-_ERROR_TAIL_CHARACTERS:]
        )
        raise MeasurementError(f"exit code {output.exit_code}" + (f": {error_tail}" if error_tail else ""))
    if parser.kind == "lines":
        return float(sum(bool(line.strip()) for line in output.text.splitlines()))
    if parser.kind == "match":
        found = re.search(parser.pattern, output.text, re.MULTILINE)
        if found is None:
            raise MeasurementError(f"nothing in its output matches `{parser.pattern}`")
        text = found[1] if found.re.groups else found[0]
        try:
            return float(text.replace(",", "").replace("_", ""))
        except ValueError:
            raise MeasurementError(f"`{text}` is not a number") from None
    return _json_number(output, parser.path)


def _json_number(output: MeasureOutput, path: tuple[str, ...]) -> float:
    try:
        value: Any = json.loads(output.text)
    except ValueError as error:
        error_tail = output.errors.strip()[-_ERROR_TAIL_CHARACTERS:]
        raise MeasurementError(
            f"its output is not JSON: {error}" + (f"; stderr: {error_tail}" if error_tail else "")
        ) from None
    for at, key in enumerate(path):
        value = _json_step(value, key, ".".join(path[: at + 1]))
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, list | dict):
        return float(len(value))
    raise MeasurementError(f"`{'.'.join(path)}` is {json.dumps(value)[:80]}, not a number")


def _json_step(value: Any, key: str, path: str) -> Any:
    if isinstance(value, dict) and key in value:
        return value[key]
    if isinstance(value, list) and key.lstrip("-").isdigit() and -len(value) <= int(key) < len(value):
        return value[int(key)]
    available = ", ".join(list(value)[:6]) if isinstance(value, dict) else type(value).__name__
    raise MeasurementError(f"its JSON has no `{path}`; there is {available}")
