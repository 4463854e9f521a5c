"""Argosy: `argosy up -d` from nothing, the start of the supervisor included, to its account."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from argosy.fault import Fault, MissingError, RefusedError
from yard.stage import Stage

_UP_WITHIN_S = 120.0


class Up(msgspec.Struct, frozen=True):
    """What counts of the account."""

    ready: list[str]
    not_ready: dict[str, str]
    seconds: float
    critical_path: list[dict[str, object]]


class ByArgosy:
    """The command, as a person gives it."""

    name = "argosy"

    def start(self, stage: Stage) -> None:
        """Run `argosy up`; every agent must be in its account as ready."""
        answer = _argosy(stage, "up", "-d", "--no-hub")
        self.account = msgspec.json.decode(answer, type=Up)
        if len(self.account.ready) != len(stage.processes):
            name, reason = next(iter(self.account.not_ready.items()))
            message = f"argosy: {len(self.account.ready)} of {len(stage.processes)} ready, `{name}`: {reason}"
            raise RefusedError(Fault("bench", "not-ready", message))

    def stop(self, stage: Stage) -> None:
        """Run `argosy down`."""
        _argosy(stage, "down")


def _argosy(stage: Stage, verb: str, *options: str) -> bytes:
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
        timeout=_UP_WITHIN_S,
        check=False,
    )
    if ended.returncode not in (0, 1) or not ended.stdout:
        said = ended.stderr.decode(errors="replace").strip()[-500:]
        raise RefusedError(Fault("bench", "failed", f"`argosy {verb}` ended with {ended.returncode}: {said}"))
    return ended.stdout
