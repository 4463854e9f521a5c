"""The supervisor process: takes the lock, raises the generation, adopts running agents, then serves.

A client that finds no supervisor starts it, as a fork of itself or as `python -m
argosy.engine.supervisor.entrypoint FLEET_FILE NAME READY_FD [STATE RUNTIME]`, in a session of its own;
or it runs in the foreground. It exits on a client's request, when no agent is left to run, or on SIGTERM;
agents keep running unless they were stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import setproctitle

from argosy.engine.control.control_server import ControlServer
from argosy.engine.process.descriptors import raise_soft_limit
from argosy.engine.process.os_process import pids_with_open_file, reap_own_group
from argosy.engine.process.prctl import adopt_orphans
from argosy.engine.protocol.messages import READY, SUPERVISOR_ALREADY_RUNNING, Refused, encode_line
from argosy.engine.state.filesystem import is_network_filesystem
from argosy.engine.state.generation import acquire_lock, raise_generation
from argosy.engine.state.runtime_sockets import is_listening, remove_dead_sockets
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.engine.supervisor.supervisor import Supervisor, SupervisorConfig
from argosy.fault import ArgosyError, Fault, MissingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from argosy.engine.plan.peering_plan import PeeringPlan

_LOCK_TIMEOUT_S = 1.0
_CHILDREN_GONE_S = 2.0


def serve(
    fleet_path: Path,
    fleet_name: str,
    on_ready: Callable[[], None],
    *,
    state_dir: StateDir | None = None,
    peering_plan: PeeringPlan | None = None,
    is_persistent: bool = False,
) -> None:
    """Supervise the fleet of this file until told to exit.

    on_ready(): called once clients can connect. state_dir: of the fleet, by default located from the file,
    which may be gone. peering_plan: the machines to connect to from the start. is_persistent: stay up when
    no agent runs.

    Raises RefusedError: another supervisor holds the lock. Raises MissingError: the state directory cannot
    be created, or is on a network file system.
    """
    state_dir = state_dir or locate_state_dir(fleet_path)
    state_dir.create()
    if is_network_filesystem(state_dir.path):
        raise MissingError(
            Fault(
                str(state_dir.path),
                "nfs",
                "the state directory is on NFS or SMB, where file locks do not prove that a process lives",
                "set XDG_STATE_HOME to a directory on a local disk",
            )
        )
    lock = acquire_lock(state_dir.supervisor_lock, _LOCK_TIMEOUT_S)
    if lock is None:
        raise RefusedError(_already_running_fault(state_dir))
    state_dir.create()  # the previous supervisor may have removed it
    state_dir.rename_old_files()
    is_new_state_dir = os.fstat(lock).st_size == 0
    generation = raise_generation(lock)
    os.set_inheritable(lock, False)
    setproctitle.setproctitle(f"argosy: supervisor {fleet_name}")
    adopt_orphans()
    config = SupervisorConfig(str(fleet_path), is_persistent, peering_plan)
    asyncio.run(
        _serve(state_dir, generation, raise_soft_limit(), config, on_ready, is_new_state_dir=is_new_state_dir)
    )


def _already_running_fault(state_dir: StateDir) -> Fault:
    pids = ", ".join(map(str, pids_with_open_file(str(state_dir.supervisor_lock)))) or "unknown"
    if is_listening(state_dir.control_socket):
        message = f"the supervisor of this fleet is already running (pid {pids})"
        return Fault(
            str(state_dir.supervisor_lock),
            SUPERVISOR_ALREADY_RUNNING,
            message,
            "`argosy status` shows its agents",
        )
    return Fault(
        str(state_dir.supervisor_lock),
        SUPERVISOR_ALREADY_RUNNING,
        f"another supervisor of this fleet runs (pid {pids}) but does not listen at"
        f" `{state_dir.control_socket}`",
        f"`kill {pids}` ends it, its agents keep running; then `argosy up` adopts them",
    )


async def _serve(
    state_dir: StateDir,
    generation: int,
    open_files: int,
    config: SupervisorConfig,
    on_ready: Callable[[], None],
    *,
    is_new_state_dir: bool,
) -> None:
    loop = asyncio.get_running_loop()
    supervisor = Supervisor(state_dir, generation, loop, open_files, config)
    control = ControlServer(state_dir.control_socket, supervisor.handle, supervisor.on_client_disconnected)
    try:
        supervisor.watch_sessions(control.sessions)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stop_requested.set)
        await control.bind()
        await supervisor.adopt(is_new_state_dir=is_new_state_dir)
        control.publish()
        on_ready()
        gc.freeze()  # loaded modules stay, so collections need not scan them
        await supervisor.stop_requested.wait()
        supervisor.announce_shutdown()
    finally:
        await control.close()
        supervisor.close()
        reap_own_group(_CHILDREN_GONE_S)  # the zygotes' own children are killed with them
        remove_dead_sockets(state_dir.runtime_path)


def main(args: Sequence[str]) -> int:
    """Serve the fleet of FILE and NAME, and report at READY_FD; returns the exit code.

    STATE and RUNTIME are the fleet's directories; FILE may be gone.
    """
    path, name, ready_fd = Path(args[0]), args[1], int(args[2])
    state_dir = StateDir(Path(args[3]), Path(args[4])) if len(args) > 3 else None

    with open(ready_fd, "wb", buffering=0) as ready_pipe:

        def report_to_client(data: bytes) -> None:
            with contextlib.suppress(BrokenPipeError):  # the client exited during the start
                ready_pipe.write(data)
            ready_pipe.close()

        try:
            serve(path, name, lambda: report_to_client(READY), state_dir=state_dir)
        except ArgosyError as error:
            report_to_client(encode_line(Refused(faults=list(error.faults), exit_code=error.exit_code)))
            return error.exit_code
        except OSError as error:
            if not ready_pipe.closed:
                message = f"the supervisor cannot start: {error.strerror}"
                fault = Fault(error.filename or "", "state-folder", message)
                report_to_client(encode_line(Refused(faults=[fault])))
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
