"""Environments with the agents' packages: one per lock file, cached between runs.

A finished environment has a file `complete`, so an interrupted one is built again. Each run gets a small
environment of its own that only refers to these packages and to this checkout's argosy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from realfleet.progress import ScenarioError, log_progress

HERE: Final = Path(__file__).resolve().parent.parent
SOURCES: Final = HERE.parent.parent / "src"
LOCK: Final = HERE / "requirements.txt"
DEBIAN: Final = ("redis-server", "portaudio19-dev", "gcc", "python3-dev", "iproute2")


def cached_base(chosen: str | None) -> Path:
    """Return an environment with all packages of the lock file; build it if it is not cached.

    chosen: an existing environment to use instead.
    Raises ScenarioError: a package cannot be installed, or `chosen` is not an environment.
    """
    if chosen:
        if not (Path(chosen) / "bin" / "python").exists():
            raise ScenarioError(
                f"`{chosen}` is not a virtual environment", "give the folder that has bin/python"
            )
        return Path(chosen).absolute()
    key = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "argosy" / "real-fleet"
    place = caches / key
    if not (place / "complete").exists():
        log_progress(f"packages: {LOCK.name} into {place} (about 90 s, 1 GB; once)")
        _require_headers()
        shutil.rmtree(place, ignore_errors=True)
        caches.mkdir(parents=True, exist_ok=True)
        _make(place)
        (place / "complete").touch()
    return place


def _require_headers() -> None:
    """Check the requirements of the two compiled packages before the long installation."""
    if not shutil.which("gcc"):
        raise ScenarioError(
            "packages of the lock file are compiled here, and there is no gcc", _debian_hint()
        )
    if not any(Path(folder, "portaudio.h").exists() for folder in ("/usr/include", "/usr/local/include")):
        raise ScenarioError("PyAudio is compiled here, and the header portaudio.h is missing", _debian_hint())


def _debian_hint() -> str:
    return f"apt-get install {' '.join(DEBIAN)}"


def _make(place: Path) -> None:
    _run([sys.executable, "-m", "venv", *([] if not shutil.which("uv") else ["--without-pip"]), str(place)])
    python = str(place / "bin" / "python")
    if shutil.which("uv"):
        install = ["uv", "pip", "install", "--quiet", "--python", python]
    else:
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    _run([*install, "--require-hashes", "-r", str(LOCK)])
    _run([python, "-m", "compileall", "-q", "-j", "0", str(place / "lib")], is_needed=False)


def _run(command: list[str], *, is_needed: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode and is_needed:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise ScenarioError(
            f"`{' '.join(command[:4])} …` ended with {done.returncode}:\n{said}", _debian_hint()
        )


def own_environment(base: Path, folder: Path) -> Path:
    """Make the environment of one run in `folder` and return its `bin`."""
    python = (base / "bin" / "python").resolve()
    subprocess.run([str(python), "-m", "venv", "--without-pip", str(folder)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    inner = folder / "lib" / version / "site-packages"
    packages = base / "lib" / version / "site-packages"
    (inner / "packages.pth").write_text(f"{packages}\n{SOURCES}\n", encoding="utf-8")
    (inner / "without.pth").write_text(
        f"import os, sys; os.environ.get('REAL_FLEET_ABLATION') and (sys.path.append({str(HERE)!r}), "
        "__import__('realfleet.ablations'))\n",
        encoding="utf-8",
    )
    program = folder / "bin" / "argosy"
    program.write_text(
        # A `#!` line cannot have spaces: the shell runs the interpreter, and Python sees a string.
        f"#!/bin/sh\n'''exec' \"{folder}/bin/python\" \"$0\" \"$@\"\n' '''\n"
        "import sys\n\nfrom argosy.cli import main\n\nsys.exit(main())\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return folder / "bin"
