"""`argosy serve` under a service manager: when it is ready, what it leaves running, and its unit."""

from __future__ import annotations

import configparser
import os
import signal
import socket
import subprocess
from pathlib import Path

from rig.fleet import ARGOSY, Rig, is_alive

FLEET = "fleet: solo\nagents:\n  A: {run: speaker.py, ready: {probe: notify}}\n"


def test_serve_notifies_readiness_and_leaves_agents_running(tmp_path: Path) -> None:
    rig = Rig(tmp_path, tmp_path)
    rig.write(FLEET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(30)
        env = {**rig.env, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        serve = subprocess.Popen([ARGOSY, "serve"], cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
        try:
            assert notify.recv(1000).startswith(b"READY=1\n")
            assert rig.json("up", "-d", "--no-hub")["ready"] == ["A"]
            status = rig.json("status")
            assert status["supervisor"]["pid"] == serve.pid
            second = rig.argosy("serve")
            assert second.returncode == 1
            assert f"already running (pid {serve.pid})" in second.stderr
            assert "kill" not in second.stderr
            serve.send_signal(signal.SIGTERM)
            assert serve.wait(30) == 0
            assert is_alive(status["agents"]["A"]["pid"])
        finally:
            serve.kill()
            serve.wait()
            rig.argosy("down")
            rig.close()


def test_serve_install_writes_systemd_unit(tmp_path: Path) -> None:
    rig = Rig(tmp_path, tmp_path)
    path = rig.write(FLEET)
    done = rig.argosy("serve", "install", "-o", str(tmp_path / "units/argosy.service"))
    assert done.returncode == 0, done.stderr
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(tmp_path / "units/argosy.service")
    service = unit["Service"]
    assert (service["Type"], service["KillMode"]) == ("notify", "process")
    words = service["ExecStart"].split()
    assert os.access(words[0], os.X_OK)
    assert words[1:] == ["-m", "argosy", "serve", str(path)]
    rig.close()
