"""Runs commands on another machine by ssh, and translates their errors."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

# An unreachable machine is given up after 15 s instead of after TCP's 15 minutes.
SSH_COMMAND: Final = "ssh -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3"


class SshTarget(NamedTuple):
    """A machine to deploy a tree to.

    host: as for ssh. directory: the absolute path of the tree there. ssh: the command and its options.
    """

    machine: str
    host: str
    directory: str
    ssh: Sequence[str] = tuple(SSH_COMMAND.split())


class _FailurePattern(NamedTuple):
    pattern: str
    code: str
    description: str
    hint: str


# The first that matches the output of ssh, rsync, git or the remote shell counts.
_FAILURE_PATTERNS: Final = (
    _FailurePattern(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "host-key-changed",
        "its host key differs from the known one",
        "make sure that it is the same machine, then remove the old key: `ssh-keygen -R {host}`",
    ),
    _FailurePattern(
        "Host key verification failed",
        "host-key-unknown",
        "its host key is not known here",
        "compare the key with the machine's own (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), "
        "then accept it: `{ssh}`",
    ),
    _FailurePattern(
        r"Permission denied \([a-z]",
        "key-refused",
        "it refuses the keys of this user",
        "`ssh-copy-id {host}`; then `{ssh}` must work without a prompt",
    ),
    _FailurePattern(
        "No space left on device|Disk quota exceeded",
        "disk-full",
        "the disk there is full",
        "free space there; its tree is unchanged",
    ),
    _FailurePattern(
        r"rsync: (command )?not found",
        "no-rsync-there",
        "rsync is not installed there",
        "install it there (Debian: rsync)",
    ),
    _FailurePattern(
        "Could not resolve hostname",
        "unknown-host",
        "its name cannot be resolved",
        "ssh gets the machine's label `ssh`, or its address in the fleet file",
    ),
    _FailurePattern(
        "Connection refused|No route to host|Connection timed out|Network is unreachable",
        "unreachable",
        "there is no answer",
        "`{ssh}` must work without a prompt; `--ssh` changes the command",
    ),
    _FailurePattern(
        "Timeout, server|Connection (reset|closed)|Broken pipe|unexpectedly closed|hung up|timeout in data",
        "connection-lost",
        "the connection was lost",
        "run `argosy sync` again to resume; until the transfer is complete the tree there is unchanged",
    ),
)


def run_remote(target: SshTarget, shell_line: str, data: bytes = b"") -> bytes:
    """Run a line of POSIX shell on the target with `data` as input, and return its output.

    Raises RefusedError: the target is unreachable, or the line failed.
    """
    done = subprocess.run(
        [*target.ssh, target.host, shell_line], input=data, capture_output=True, check=False
    )
    if done.returncode:
        raise remote_error(target, done.stderr)
    return done.stdout


def remote_error(target: SshTarget, stderr: bytes) -> RefusedError:
    """Return the error for the output `stderr` of the failed program."""
    lines = stderr.decode(errors="replace").strip().splitlines() or ["no error message"]
    ssh = shlex.join([*target.ssh, target.host])
    code, description, first_line = "deployment-failed", "", lines[0]
    hint = f"`{ssh}` must work without a prompt; `--ssh` changes the command"
    for each in _FAILURE_PATTERNS:
        if found := [line for line in lines if re.search(each.pattern, line)]:
            code, description, first_line = each.code, f"{each.description}: ", found[0]
            hint = each.hint.format(host=target.host, ssh=ssh)
            break
    message = f"`{target.machine}` ({target.host}:{target.directory}): {description}{first_line}"
    return RefusedError(Fault(target.machine, code, message, hint))
