"""An old agent with two main blocks: the first waits for ever, the `run` of the second is never reached."""

from __future__ import annotations

import time

from argosy.agent.compat import BaseAgent


class Waits(BaseAgent):
    pass


if __name__ == "__main__":
    agent = Waits()
    while agent.running:
        time.sleep(0.05)

if __name__ == "__main__":
    agent = Waits()
    agent.run()
