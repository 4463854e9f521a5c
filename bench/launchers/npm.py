"""Finds or installs launchers from npm, once per user."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from argosy.fault import Fault, MissingError

_PM2 = "pm2@6"
_WITHIN_S = 180.0


def pm2_runtime() -> list[str]:
    """Return the command that runs pm2 in the foreground, from PATH or from the bench's cache.

    Raises MissingError: pm2 is in neither.
    """
    found = shutil.which("pm2-runtime") or shutil.which(
        "pm2-runtime", path=str(_folder() / "node_modules/.bin")
    )
    if found is None:
        raise MissingError(Fault("bench", "no-peer", "pm2 is not installed", "a full run installs it by npm"))
    return [found, "start"]


def install_pm2() -> None:
    """Install pm2 by npm into the user's cache unless it is installed.

    Raises MissingError: there is no npm, or the installation fails; the message gives the reason.
    """
    try:
        pm2_runtime()
    except MissingError:
        npm = shutil.which("npm")
        if npm is None:
            raise MissingError(
                Fault("bench", "no-npm", "pm2 is not installed, and there is no npm")
            ) from None
        _folder().mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(_folder()), "--no-audit", "--no-fund", _PM2]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
        except subprocess.TimeoutExpired as error:
            message = f"npm did not install pm2 within {_WITHIN_S:g} s"
            raise MissingError(Fault("bench", "no-peer", message)) from error
        if ended.returncode != 0:
            said = (ended.stderr.strip() or "no reason").splitlines()[-1]
            raise MissingError(Fault("bench", "no-peer", f"npm cannot install pm2: {said}")) from None


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "argosy-bench"
