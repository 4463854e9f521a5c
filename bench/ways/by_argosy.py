"""Argosy: `argosy up -d` from nothing, the start of the supervisor included, to its account."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from argosy.fault import Fault, MissingError, RefusedError
from yard.stage import Stage

_WITHIN_S = 120.0


class Up(msgspec.Struct, frozen=True, tag_field="argosy", tag="up/1"):
    """What counts of the account."""

    ready: list[str]
    not_ready: dict[str, str]


class Down(msgspec.Struct, frozen=True, tag_field="argosy", tag="down/1"):
    """Which agents did not end within their grace."""

    killed: list[str]


class Failed(msgspec.Struct, frozen=True, tag_field="argosy", tag="error/1"):
    """Why a command was not carried out."""

    errors: list[Fault]


class ByArgosy:
    """The command, as a person gives it; `name` tells what fleet it is given."""

    def __init__(self, name: str = "argosy") -> None:
        self.name = name

    def start(self, stage: Stage) -> None:
        """Run `argosy up`; every agent must be in its account as ready."""
        account = _argosy(stage, "up", "-d", "--no-hub")
        if isinstance(account, Up) and len(account.ready) != len(stage.processes):
            name, reason = next(iter(account.not_ready.items()))
            message = f"argosy: {len(account.ready)} of {len(stage.processes)} ready, `{name}`: {reason}"
            raise RefusedError(Fault("bench", "not-ready", message))

    def stop(self, stage: Stage) -> None:
        """Run `argosy down`; every agent must end by itself."""
        answer = _argosy(stage, "down")
        if isinstance(answer, Down) and answer.killed:
            raise RefusedError(Fault("bench", "killed", f"argosy had to kill {', '.join(answer.killed)}"))


def _argosy(stage: Stage, verb: str, *options: str) -> Up | Down:
    """Run one command and return its answer; raises RefusedError with what it says is wrong."""
    command = Path(sys.executable).with_name("argosy")
    if not command.exists():
        hint = "`pip install 'argosy[bench]'` for this interpreter"
        raise MissingError(Fault("bench", "no-argosy", f"there is no `{command}`", hint))
    ended = subprocess.run(
        [command, verb, str(stage.fleet_path), *options, "--json"],
        env=stage.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        timeout=_WITHIN_S,
        check=False,
    )
    try:
        answer = msgspec.json.decode(ended.stdout, type=Up | Down | Failed)
    except msgspec.DecodeError as error:
        said = ended.stderr.decode(errors="replace").strip()
        message = f"`argosy {verb}` ended with {ended.returncode} and no answer: {said}"
        raise RefusedError(Fault("bench", "no-answer", message)) from error
    if isinstance(answer, Failed):
        raise RefusedError(*answer.errors)
    return answer
