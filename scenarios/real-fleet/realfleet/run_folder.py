"""Makes the folder of a run and removes those of killed runs."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from realfleet.progress import log_progress

_PREFIX: Final = "rf-"
_LOCK: Final = "lock"  # locked while the run is active


@contextmanager
def run_folder(*, keep: bool) -> Iterator[Path]:
    """Make a folder for a run and remove it at the end. keep: do not remove it."""
    _remove_stale_folders()
    room = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with (room / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield room
        finally:
            if keep:
                (room / _LOCK).unlink()
                log_progress(f"kept: {room}")
            else:
                shutil.rmtree(room, ignore_errors=True)


def _remove_stale_folders() -> None:
    """Remove the folders of killed runs, whose locks are free."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            with path.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)
        except OSError:
            continue  # the run is active, or another user's
