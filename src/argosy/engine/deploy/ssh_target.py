"""Another machine as ssh reaches it: commands run there, and what went wrong by name."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

# A machine that went out of sight is given up after 15 s instead of after TCP's quarter of an hour.
SSH_COMMAND: Final = "ssh -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3"


class SshTarget(NamedTuple):
    """A machine to bring a tree to. host: as ssh takes it; folder: of the tree there, absolute.

    ssh: the command and its options.
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


# The first that is found in what ssh, rsync, git and the shell there have said.
_FAILURE_PATTERNS: Final = (
    _FailurePattern(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "host-key-changed",
        "its host key is not the one that is known here",
        "make sure that it is the same machine, then forget the old key: `ssh-keygen -R {host}`",
    ),
    _FailurePattern(
        "Host key verification failed",
        "host-key-unknown",
        "its host key is not known here",
        "compare the key with the machine's own (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), "
        "and accept it: `{ssh}`",
    ),
    _FailurePattern(
        r"Permission denied \([a-z]",
        "key-refused",
        "it refuses the keys of this user",
        "`ssh-copy-id {host}`; then `{ssh}` has to work without a question",
    ),
    _FailurePattern(
        "No space left on device|Disk quota exceeded",
        "disk-full",
        "the disk there is full",
        "make room there; its tree is the old one",
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
        "its name is not known here",
        "its address in the fleet file, or its label `ssh`, is what ssh is given",
    ),
    _FailurePattern(
        "Connection refused|No route to host|Connection timed out|Network is unreachable",
        "unreachable",
        "nobody answers there",
        "`{ssh}` has to work without a question; `--ssh` changes it",
    ),
    _FailurePattern(
        "Timeout, server|Connection (reset|closed)|Broken pipe|unexpectedly closed|hung up|timeout in data",
        "link-cut",
        "the link was cut",
        "`argosy sync` again goes on from there; until all has arrived the tree there is the old one",
    ),
)


def run_remote(target: SshTarget, shell_line: str, data: bytes = b"") -> bytes:
    """Run a line of a POSIX shell there with this input, and return what it prints.

    Raises RefusedError: it cannot be reached, or the line failed.
    """
    done = subprocess.run(
        [*target.ssh, target.host, shell_line], input=data, capture_output=True, check=False
    )
    if done.returncode:
        raise remote_error(target, done.stderr)
    return done.stdout


def remote_error(target: SshTarget, stderr: bytes) -> RefusedError:
    """Return the error that says by name what went wrong there. errors: what the programs said."""
    lines = stderr.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
    ssh = shlex.join([*target.ssh, target.host])
    code, description, first_line = "not-shipped", "", lines[0]
    hint = f"`{ssh}` has to work without a question; `--ssh` changes it"
    for reason in _FAILURE_PATTERNS:
        if found := [line for line in lines if re.search(reason.pattern, line)]:
            code, description, first_line = reason.code, f"{reason.description}: ", found[0]
            hint = reason.hint.format(host=target.host, ssh=ssh)
            break
    message = f"`{target.machine}` ({target.host}:{target.directory}): {description}{first_line}"
    return RefusedError(Fault(target.machine, code, message, hint))
