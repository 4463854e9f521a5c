"""An ssh server on a machine of a test, with a host key, a user's key and programs of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from rig.duo import until
from rig.lan import Machine
from rig.needs import require
from rig.tools import find

PORT = 2222


class Sshd:
    """Serves the user of this process until the machine ends.

    programs: what is in the PATH of its sessions; remove one from there, or put another in its place.
    """

    def __init__(self, machine: Machine, root: Path) -> None:
        require("sshd", "ssh", "ssh-keygen")
        root.mkdir()
        self.root = root
        self.programs = root / "programs"
        self.programs.mkdir()
        for program in Path("/usr/bin").iterdir():
            (self.programs / program.name).symlink_to(program)
        for key in ("host", "user", "stranger"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / key)], check=True, timeout=30
            )
        shutil.copy(root / "user.pub", root / "authorized")
        for name, key in (("known", "host"), ("another-known", "stranger")):
            (root / name).write_text(f"[{machine.address}]:{PORT} {(root / f'{key}.pub').read_text()}")
        (root / "nobody-known").touch()
        log = root / "log"
        (root / "config").write_text(
            f"ListenAddress {machine.address}:{PORT}\nHostKey {root}/host\nPidFile none\n"
            f"AuthorizedKeysFile {root}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n"
            f"SetEnv PATH={self.programs} HOME={root}\n"  # no settings of this user's shell
        )
        # Started by root it wants this folder, which is the network's own.
        machine.run(["mkdir", "-p", "/run/sshd"])
        server = find("sshd")
        assert server is not None
        as_user = _as_user() if os.geteuid() else []
        machine.popen([*as_user, server, "-D", "-E", str(log), "-f", str(root / "config")])
        until(lambda: log.exists() and "Server listening" in log.read_text())

    def ssh(self, *options: str, key: str = "user", known: str = "known") -> list[str]:
        """Return the words of the ssh command for it. key, known: files of its folder."""
        words = ["ssh", "-F", "none", "-p", str(PORT), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]
        words += ["-o", f"UserKnownHostsFile={self.root / known}", "-i", str(self.root / key)]
        # By name: inside a network of a plain user, ssh takes its user for root.
        return [*words, "-l", pwd.getpwuid(os.getuid()).pw_name, *options]


def _as_user() -> list[str]:
    """Return the words that make a plain user one again, who is root inside a network of their own."""
    own = pwd.getpwuid(os.getuid())
    return ["unshare", "-U", f"--map-user={own.pw_uid}", f"--map-group={own.pw_gid}"]
