"""Runs a read-only command for a client of another machine, and sends its output."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from argosy.engine.protocol.messages import CommandOutput
from argosy.fault import Fault, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from argosy.engine.control.control_server import ClientSession

# Command to the options that make it read-only and limited to this machine.
_READ_ONLY_COMMANDS: Final = {"logs": {"--here"}, "restart": {"--here", "--dry-run"}}
_CHUNK_BYTES: Final = 65536


async def run_relayed_command(fleet_path: str, args: Sequence[str], session: ClientSession) -> None:
    """Run `argosy ARGS` on this machine's fleet file, and send its output; an empty message is the end.

    Kills the process when cancelled. Raises InputError: the command is not read-only.
    """
    if not args or args[0] not in _READ_ONLY_COMMANDS or not _READ_ONLY_COMMANDS[args[0]].issubset(args):
        found = args[0] if args else ""
        expected = ", ".join(
            " ".join([command, *sorted(needed)]) for command, needed in _READ_ONLY_COMMANDS.items()
        )
        message = f"`{found}` is not run for other machines; expected one of: {expected}"
        raise InputError(Fault(found, "usage", message))
    process = subprocess.Popen(
        [sys.executable, "-m", "argosy", *args, "--fleet", fleet_path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
    try:
        while data := await reader.read(_CHUNK_BYTES):
            session.send(CommandOutput(data=data))
        session.send(CommandOutput(data=b""))
    finally:
        process.kill()
        process.returncode = 0  # the supervisor reaps all its children itself
        pipe.close()
