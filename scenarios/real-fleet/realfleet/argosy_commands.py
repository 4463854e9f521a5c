"""Runs argosy's verbs as commands and returns their output."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from realfleet.progress import ScenarioError, log_progress

ANSWER_EXIT_CODES: Final = (0, 1, 2)  # 1 is a bad result, 2 wrong input; the JSON has both


class Argosy:
    """Runs the `argosy` of `bin_` with only the variables of `environment`."""

    def __init__(self, bin_: Path, environment: Mapping[str, str]) -> None:
        self.environment = {**environment, "PATH": f"{bin_}{os.pathsep}{environment['PATH']}"}
        self._program = str(bin_ / "argosy")

    def run_json(self, *words: str, within_s: float = 300.0) -> dict[str, Any]:
        """Run a verb with `--json` and return its JSON. Raises ScenarioError: it prints none, or fails."""
        began_s = time.monotonic()
        done = self._run([*words, "--json"], within_s)
        log_progress(f"argosy {words[0]}: {time.monotonic() - began_s:.1f} s")
        try:
            told: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise ScenarioError(
                f"`argosy {' '.join(words)}` ended with {done.returncode} and no JSON:\n{done.stderr[-2000:]}"
            ) from None
        if done.returncode not in ANSWER_EXIT_CODES or "error/1" in str(told.get("argosy")):
            errors = "; ".join(f"{each['where']}: {each['message']}" for each in told.get("errors", ()))
            raise ScenarioError(f"`argosy {' '.join(words)}` ended with {done.returncode}: {errors[:2000]}")
        return told

    def run_text(self, *words: str, within_s: float = 60.0) -> str:
        """Run a verb and return its text. Raises ScenarioError: it fails."""
        done = self._run(words, within_s)
        if done.returncode:
            raise ScenarioError(f"`argosy {words[0]}` ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def _run(self, words: Sequence[str], within_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=within_s,
        )
