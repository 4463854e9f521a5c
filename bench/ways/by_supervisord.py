"""Supervisord: every agent a program of its configuration, all started at once."""

from __future__ import annotations

import shlex

from ways.daemon import Daemon
from yard.stage import Stage


class BySupervisord(Daemon):
    """Supervisord in the foreground, without its HTTP server."""

    name = "supervisord"
    module = "supervisor.supervisord"

    def options(self, configuration: str) -> list[str]:
        """Return its command line."""
        return ["-n", "-c", configuration]

    def configuration(self, stage: Stage) -> str:
        """Return a section for the daemon and one for each agent."""
        home = stage.home
        head = f"[supervisord]\nlogfile={home}/sv.log\npidfile={home}/sv.pid\nminfds=4096\n"
        return head + "".join(_section(stage, name) for name in stage.processes)


def _section(stage: Stage, name: str) -> str:
    process = stage.processes[name]
    pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in stage.environment_of(name).items())
    return (
        f"\n[program:{name}]\ncommand={_escaped(shlex.join(process.argv))}\ndirectory={process.cwd}\n"
        f"environment={pairs}\nautorestart=true\nredirect_stderr=true\nstdout_logfile={stage.home}/{name}.log\n"
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
