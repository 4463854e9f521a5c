"""Hints that name an extra: their install command works for the current installation."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from argosy.extra import install_command

SOURCES = Path(__file__).resolve().parents[2] / "src"


def test_install_command_of_extra_runs_with_pip_without_index(tmp_path: Path) -> None:
    words = shlex.split(install_command("hub"))
    assert words[-2:] == ["install", "argosy[hub]"]
    lead = words[:-1]
    done = subprocess.run(
        [*lead, "--no-index", "--no-deps", "--dry-run", words[-1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1"),
    )
    assert done.returncode == 0, done.stderr
    assert "Requirement already satisfied: argosy" in done.stdout


def test_install_command_names_source_folder_without_installation() -> None:
    script = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; "
    script += f"sys.path.insert(0, {str(SOURCES)!r}); from argosy.extra import install_command; "
    script += "print(install_command('hub'))"
    said = subprocess.check_output([sys.executable, "-I", "-S", "-c", script], text=True, timeout=60)
    assert said.strip().endswith(f'install -e "{SOURCES.parent}[hub]"')
