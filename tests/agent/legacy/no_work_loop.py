"""An old agent whose program starts it, and waits beside it; it has no work loop to enter."""

from __future__ import annotations

import threading
import time

from argosy.agent.compat import BaseAgent


class Starts(BaseAgent):
    def start(self) -> None:
        self.worker = threading.Thread(target=time.sleep, args=[60], daemon=True)
        self.worker.start()


if __name__ == "__main__":
    agent = Starts()
    agent.start()
    while agent.running:
        time.sleep(0.05)
