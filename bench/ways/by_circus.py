"""Circus: every agent a watcher of its configuration, all started at once."""

from __future__ import annotations

import shlex

from ways.daemon import Daemon
from yard.stage import Stage


class ByCircus(Daemon):
    """Circusd in the foreground, without its statistics."""

    name = "circus"
    module = "circus.circusd"

    def options(self, configuration: str) -> list[str]:
        """Return its command line."""
        return [configuration]

    def configuration(self, stage: Stage) -> str:
        """Return a section for the daemon, and two for each agent."""
        home = stage.home
        head = f"[circus]\nendpoint=ipc://{home}/c.ep\npubsub_endpoint=ipc://{home}/c.ps\nwarmup_delay=0\nstatsd=False\n"
        return head + "".join(_section(stage, name) for name in stage.processes)


def _section(stage: Stage, name: str) -> str:
    process = stage.processes[name]
    pairs = "\n".join(f"{key}={value}" for key, value in stage.environment_of(name).items())
    return (
        f"\n[watcher:{name}]\ncmd={shlex.join(process.argv)}\nworking_dir={process.cwd}\n"
        f"copy_env=True\ngraceful_timeout=10\n\n[env:{name}]\n{pairs}\n"
    )
