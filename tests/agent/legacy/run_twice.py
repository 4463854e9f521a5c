"""An old agent with two main blocks that both run it, as a merge left them."""

from __future__ import annotations

from argosy.agent.compat import BaseAgent


class Twice(BaseAgent):
    pass


if __name__ == "__main__":
    agent = Twice()
    agent.run()
    print("the first run has ended", flush=True)

if __name__ == "__main__":
    agent = Twice()
    print("a second agent", flush=True)
    agent.run()
