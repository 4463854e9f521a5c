"""Runs the services beside the fleet in its sandbox: redis-server, and a sound server if installed.

The sound server has one device, a null sink: it plays at real speed without output, and recordings from it
are silent. This is how sound is tested on machines without a sound card.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from realfleet.progress import ScenarioError

# Optional programs of agents by their Debian package. Without one the scenario runs, and the agents that need
# it are degraded by name.
OPTIONAL: Final = {
    "chromedriver": "chromium-driver",
    "espeak-ng": "espeak-ng",
    "pulseaudio": "pulseaudio libasound2-plugins",
}
_SOUND_S: Final = 10.0


def absent_programs() -> dict[str, str]:
    """Return the optional programs that are not installed here, and the packages that have them."""
    return {program: package for program, package in OPTIONAL.items() if not shutil.which(program)}


def install_hint(absent: dict[str, str]) -> str:
    """Return the command that installs them."""
    return f"apt-get install {' '.join(absent.values())}"


@contextmanager
def running_side_services(room: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run the side services.

    Raises ScenarioError: the sound server does not listen.
    """
    running = [_start_redis(room)]
    try:
        if shutil.which("pulseaudio"):
            running.append(_start_sound(room, environment))
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _start_redis(room: Path) -> subprocess.Popen[bytes]:
    folder = room / "redis"
    folder.mkdir()
    command = ["redis-server", "--port", "6379", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    return _start(command, folder / "log")


def _start_sound(room: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the sound server where its clients look for it: under the runtime folder."""
    socket_path = Path(environment["XDG_RUNTIME_DIR"]) / "pulse" / "native"
    socket_path.parent.mkdir(mode=0o700, exist_ok=True)
    command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
    for module in ("module-null-sink", f"module-native-protocol-unix auth-anonymous=1 socket={socket_path}"):
        command += ["-L", module]
    log = room / "sound.log"
    process = _start(command, log, environment)
    until_s = time.monotonic() + _SOUND_S
    while not socket_path.exists():
        if process.poll() is not None or time.monotonic() > until_s:
            process.kill()
            raise ScenarioError(f"pulseaudio does not listen: {log.read_text(encoding='utf-8')[-500:]}")
        time.sleep(0.02)
    return process


def _start(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
