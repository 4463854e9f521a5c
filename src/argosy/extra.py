"""The command that installs an extra into the installation at hand."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def install_command(extra: str) -> str:
    """Return a line to paste that installs `argosy[extra]` for the interpreter that runs this.

    pip finds an installed argosy, of a checkout or not, by its name and adds what the extra lists; one
    that runs from its sources alone has to be named by its folder.
    """
    import importlib.metadata  # noqa: PLC0415 - slow to load, and only who lacks something asks

    pip = shutil.which("pip")
    is_own = pip is not None and Path(pip).parent == Path(sys.executable).parent
    lead = "pip" if is_own else f"{sys.executable} -m pip"
    try:
        importlib.metadata.distribution("argosy")
    except importlib.metadata.PackageNotFoundError:
        return f'{lead} install -e "{Path(__file__).parents[2]}[{extra}]"'
    return f'{lead} install "argosy[{extra}]"'
