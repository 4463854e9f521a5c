"""Ways that are a daemon with a configuration file: no order, no word when all is up."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from abc import ABC, abstractmethod

from argosy.fault import Fault, MissingError
from yard.processes import end_all
from yard.stage import Stage


class Daemon(ABC):
    """A peer from PyPI that starts all its programs at once and keeps them running.

    module: what `python -m` runs.
    """

    name: str
    module: str

    def start(self, stage: Stage) -> None:
        """Start the daemon with a configuration that holds every agent."""
        if importlib.util.find_spec(self.module.partition(".")[0]) is None:
            hint = "pip install 'argosy[bench]'"
            raise MissingError(Fault("bench", "no-peer", f"{self.name} is not installed", hint))
        configuration = stage.home / f"{self.name}.ini"
        configuration.write_text(self.configuration(stage))
        with open(stage.home / f"{self.name}.log", "ab") as log:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", self.module, *self.options(str(configuration))],
                env=stage.environ,
                cwd=stage.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, stage: Stage) -> None:
        """Kill the daemon, then what it ran: its own end takes up to a second an agent, and is no start."""
        self._daemon.kill()
        self._daemon.wait()
        end_all()

    @abstractmethod
    def configuration(self, stage: Stage) -> str:
        """Return the text of the configuration file."""

    @abstractmethod
    def options(self, configuration: str) -> list[str]:
        """Return the daemon's command line after its name."""
