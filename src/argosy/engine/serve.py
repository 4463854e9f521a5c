"""The supervisor process: takes the lock, raises the generation, adopts, then serves.

Begun by the client that found none, as a fork of it or as `python -m argosy.engine.serve FLEET_FILE NAME
READY_FD [STATE RUNTIME]`, in a session of its own; or run in the foreground. It ends when a client says so,
when nothing is left to run, or on TERM; its agents live on unless they were stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import setproctitle

from argosy.engine.control import ControlServer
from argosy.engine.descriptors import widen
from argosy.engine.filesystem import is_on_network
from argosy.engine.folder import Folder, folder_of
from argosy.engine.generation import hold, raise_generation
from argosy.engine.messages import HELD, READY, Refused, encode_line
from argosy.engine.process import holders_of_file, reap_own_group
from argosy.engine.sockets import sweep
from argosy.engine.supervisor import Post, Supervisor
from argosy.fault import ArgosyError, Fault, MissingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from argosy.engine.linkplan import LinkPlan

_LOCK_PATIENCE_S = 1.0
_CHILDREN_GONE_S = 2.0
_PR_SET_CHILD_SUBREAPER = 36


def serve(
    fleet_path: Path,
    fleet_name: str,
    on_ready: Callable[[], None],
    *,
    folder: Folder | None = None,
    links: LinkPlan | None = None,
    stays: bool = False,
) -> None:
    """Supervise the fleet of this file until told to end.

    folder: the fleet's, by default that of the file; a file that is gone need not lead to it any more.
    links: to the other machines, from the first moment. stays: also when nothing runs.

    Raises RefusedError: another supervisor holds it. Raises MissingError: the state folder cannot be
    made, or is on a network.
    """
    folder = folder or folder_of(fleet_path)
    folder.make()
    if is_on_network(folder.state):
        raise MissingError(
            Fault(
                str(folder.state),
                "nfs",
                "the state folder is on NFS or SMB, where file locks do not prove that a process lives",
                "set XDG_STATE_HOME to a folder on a local disk",
            )
        )
    lock = hold(folder.lock, _LOCK_PATIENCE_S)
    if lock is None:
        raise RefusedError(_held(folder))
    folder.make()  # the one before may have swept it away
    is_new = os.fstat(lock).st_size == 0
    generation = raise_generation(lock)
    os.set_inheritable(lock, False)
    setproctitle.setproctitle(f"argosy: supervisor {fleet_name}")
    # What its forkers leave behind falls to this process instead of to init.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    post = Post(str(fleet_path), stays, links)
    asyncio.run(_serve(folder, generation, widen(), post, on_ready, is_new=is_new))


def _held(folder: Folder) -> Fault:
    holders = ", ".join(map(str, holders_of_file(str(folder.lock)))) or "unknown"
    if _listens(folder):
        message = f"the supervisor of this fleet runs already (pid {holders})"
        return Fault(
            str(folder.lock), HELD, message, "`argosy status` shows what it runs; it needs no second one"
        )
    return Fault(
        str(folder.lock),
        HELD,
        f"another supervisor of this fleet runs (pid {holders}) and does not listen at `{folder.control}`",
        f"`kill {holders}` ends it, its agents run on; then `argosy up` adopts them",
    )


def _listens(folder: Folder) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(str(folder.control))
        except BlockingIOError:
            return True  # so many wait for it that no more are let in
        except OSError:
            return False
    return True


async def _serve(
    folder: Folder,
    generation: int,
    open_files: int,
    post: Post,
    on_ready: Callable[[], None],
    *,
    is_new: bool,
) -> None:
    loop = asyncio.get_running_loop()
    supervisor = Supervisor(folder, generation, loop, open_files, post)
    control = ControlServer(folder.control, supervisor.handle, supervisor.client_gone)
    try:
        supervisor.watch_sessions(control.sessions)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.ended.set)
        await control.bind()
        await supervisor.adopt(is_new=is_new)
        control.publish()
        on_ready()
        gc.freeze()  # what is loaded stays; a collection need not look at it
        await supervisor.ended.wait()
        supervisor.say_farewell()
    finally:
        await control.close()
        supervisor.close()
        reap_own_group(_CHILDREN_GONE_S)  # what the zygotes forked for themselves is being killed with them
        sweep(folder.runtime)


def main(words: Sequence[str]) -> int:
    """Serve the fleet of FILE and NAME, saying at READY_FD that it is ready; returns the exit code.

    STATE and RUNTIME are its folders where the file, which may be gone, need not lead to them.
    """
    path, name, ready = Path(words[0]), words[1], int(words[2])
    folder = Folder(Path(words[3]), Path(words[4])) if len(words) > 3 else None

    with open(ready, "wb", buffering=0) as client:

        def tell(text: bytes) -> None:
            with contextlib.suppress(BrokenPipeError):  # the client has died over the start
                client.write(text)
            client.close()

        try:
            serve(path, name, lambda: tell(READY), folder=folder)
        except ArgosyError as error:
            tell(encode_line(Refused(faults=list(error.faults), exit_code=error.exit_code)))
            return error.exit_code
        except OSError as error:
            if not client.closed:
                words = f"the supervisor cannot start: {error.strerror}"
                tell(encode_line(Refused(faults=[Fault(error.filename or "", "state-folder", words)])))
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
