"""The folder of a run, and those that killed runs have left."""

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
_LOCK: Final = "lock"  # held as long as the run lives


@contextmanager
def run_folder(*, keep: bool) -> Iterator[Path]:
    """Make a folder for a run, and take it away at its end, whatever ends it. keep: leave it there."""
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
    """Take away the folders of runs that were killed: nobody holds their locks."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            with path.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)
        except OSError:
            continue  # it lives, or it is another user's
