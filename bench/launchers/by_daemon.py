"""Launches a fleet by a process manager with a configuration file that lists every agent.

These daemons have no dependencies and do not report when all agents are up. Each is one `DaemonSpec`: its
command and the text of its configuration.
"""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from argosy.fault import Fault, MissingError
from launchers.npm import pm2_runtime
from testbed.fleet_environment import FleetEnvironment
from testbed.process_usage import kill_all


class DaemonSpec(NamedTuple):
    """One process manager.

    find: return its command line without the configuration file; raises MissingError if it is not installed.
    write: return the text of that file. suffix: the end of the file's name. variables: environment variables
    of the daemon; `{home}` stands for the temporary folder.
    """

    name: str
    find: Callable[[], list[str]]
    write: Callable[[FleetEnvironment], str]
    suffix: str = ".ini"
    variables: dict[str, str] = {}


class DaemonLauncher:
    """Runs a daemon in the foreground."""

    def __init__(self, daemon: DaemonSpec) -> None:
        self.name = daemon.name
        self._daemon = daemon

    def prepare(self, fleet_env: FleetEnvironment) -> None:
        """Write the configuration with every agent."""
        self._command = self._daemon.find()
        self._configuration = fleet_env.home / f"{self.name}{self._daemon.suffix}"
        self._configuration.write_text(self._daemon.write(fleet_env))

    def start(self, fleet_env: FleetEnvironment) -> None:
        """Start the daemon."""
        variables = {name: text.format(home=fleet_env.home) for name, text in self._daemon.variables.items()}
        with open(fleet_env.home / f"{self.name}.log", "ab") as log:
            self._process = subprocess.Popen(
                [*self._command, str(self._configuration)],
                env=fleet_env.environ | variables,
                cwd=fleet_env.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, fleet_env: FleetEnvironment) -> None:
        """Kill the daemon, then its agents; an orderly stop takes up to a second per agent."""
        self._process.kill()
        self._process.wait()
        kill_all()


def _module(name: str, *options: str) -> Callable[[], list[str]]:
    """Return a function that finds a package to run by `python -m`."""

    def find() -> list[str]:
        package = name.partition(".")[0]
        if importlib.util.find_spec(package) is None:
            message = f"{package} is not installed"
            raise MissingError(Fault("bench", "no-peer", message, "pip install 'argosy[bench]'"))
        return [sys.executable, "-m", name, *options]

    return find


def _supervisord_config(fleet_env: FleetEnvironment) -> str:
    sections = [
        f"[supervisord]\nlogfile={fleet_env.home}/sv.log\npidfile={fleet_env.home}/sv.pid\nminfds=4096\n"
    ]
    for each in fleet_env.commands:
        pairs = ",".join(f'{key}="{_without_percent(value)}"' for key, value in each.env.items())
        sections.append(
            f"[program:{each.name}]\ncommand={_without_percent(shlex.join(each.argv))}\n"
            f"directory={each.cwd}\nenvironment={pairs}\nautorestart=true\n"
            f"redirect_stderr=true\nstdout_logfile={each.log}\n"
        )
    return "\n".join(sections)


def _without_percent(text: str) -> str:
    return text.replace("%", "%%")


def _circus_config(fleet_env: FleetEnvironment) -> str:
    home = fleet_env.home
    sections = [
        f"[circus]\nendpoint=ipc://{home}/c.ep\npubsub_endpoint=ipc://{home}/c.ps\n"
        "warmup_delay=0\nstatsd=False\n"
    ]
    for each in fleet_env.commands:
        pairs = "\n".join(f"{key}={value}" for key, value in each.env.items())
        sections.append(
            f"[watcher:{each.name}]\ncmd={shlex.join(each.argv)}\nworking_dir={each.cwd}\n"
            f"copy_env=True\ngraceful_timeout=10\n\n[env:{each.name}]\n{pairs}\n"
        )
    return "\n".join(sections)


def _pm2_config(fleet_env: FleetEnvironment) -> str:
    apps = [
        {
            "name": each.name,
            "script": each.argv[0],
            "interpreter": "none",
            "args": list(each.argv[1:]),
            "cwd": each.cwd,
            "env": each.env,
            "out_file": each.log,
            "error_file": each.log,
        }
        for each in fleet_env.commands
    ]
    return msgspec.json.encode({"apps": apps}).decode()


def _honcho_procfile(fleet_env: FleetEnvironment) -> str:
    lines = []
    for each in fleet_env.commands:
        pairs = [f"{key}={value}" for key, value in each.env.items()]
        words = shlex.join(["env", "-C", each.cwd, *pairs, *each.argv])
        lines.append(f"{each.name}: exec {words} >{shlex.quote(each.log)} 2>&1\n")
    return "".join(lines)


SUPERVISORD = DaemonSpec("supervisord", _module("supervisor.supervisord", "-n", "-c"), _supervisord_config)
CIRCUS = DaemonSpec("circus", _module("circus.circusd"), _circus_config)
HONCHO = DaemonSpec("honcho", _module("honcho", "start", "-f"), _honcho_procfile, ".procfile")
PM2 = DaemonSpec("pm2", pm2_runtime, _pm2_config, ".json", {"PM2_HOME": "{home}/pm2"})
