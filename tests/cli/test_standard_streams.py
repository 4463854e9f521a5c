"""Closed standard streams: exit codes stay the same, and new files do not take their descriptors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ARGOSY = f"{sys.executable} -m argosy"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"), [("--version", 0), ("check nowhere.yaml", 2), ("plan fleet.yaml", 0)]
)
def test_closed_standard_stream_does_not_change_exit_code(
    words: str, code: int, closed: str, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text("fleet: toy\nagents: {A: {run: sleep 1}}\n")
    done = subprocess.run(
        ["sh", "-c", f"exec {ARGOSY} {words} {closed}"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (code, False)


def test_opened_file_does_not_become_closed_standard_error(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom argosy.cli import main\nmain(['--version'])\n"
        "kept = os.open('kept', os.O_CREAT | os.O_RDWR)\nos.write(2, b'a message')\nassert kept > 2\n"
    )
    subprocess.run(
        ["sh", "-c", f'exec {sys.executable} -c "{program}" 2>&-'], cwd=tmp_path, check=True, timeout=60
    )
    assert (tmp_path / "kept").read_bytes() == b""
