"""Other interpreters of this machine, for what has to be the same on all of them."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def bare() -> tuple[str, ...]:
    """Return an interpreter of each other version, with the standard library only."""
    done = subprocess.run([str(ROOT / "script" / "pythons")], capture_output=True, text=True, check=True)
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = (line.split(" ", 1) for line in done.stdout.splitlines())
    return tuple(path for version, path in found if version != own)


@functools.cache
def complete() -> tuple[str, ...]:
    """Return the checkout's environments of other versions that have argosy's packages."""
    ask = "import sys, argosy.cli, yaml, zmq; print(sys.version_info[:2])"
    found: dict[str, str] = {str(sys.version_info[:2]): ""}
    for place in sorted(ROOT.glob(".venv*/bin/python")):
        done = subprocess.run([str(place), "-c", ask], capture_output=True, text=True, check=False)
        if not done.returncode:
            found.setdefault(done.stdout.strip(), str(place))
    return tuple(filter(None, found.values()))


def other_bare() -> str:
    """Return the newest other interpreter; skip the test where there is none."""
    if not bare():
        pytest.skip("there is no other Python from 3.11 on here (`script/pythons` lists them)")
    return bare()[-1]


def other_complete() -> str:
    """Return another interpreter with argosy and what it imports; skip the test where there is none."""
    if not complete():
        pytest.skip("no other Python has argosy's packages (ARGOSY_VENV=.venv-other PYTHON=... script/setup)")
    return complete()[-1]
