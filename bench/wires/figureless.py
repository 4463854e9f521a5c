"""The echo agent without its automatic figures, to see what they cost: `python -m wires.figureless`.

There is no switch for that, so what counts and what beats is taken out here, by its name.
"""

from __future__ import annotations

from argosy.agent import run
from argosy.agent.life import Life
from argosy.wire.callee import Callee
from wires.echo import Echo


def _nothing(self: object, *_: object) -> None:
    """Stand where something was counted."""


def take_out() -> None:
    """Replace what makes the figures; raises AttributeError when it has another name by now."""
    for owner, name in ((Callee, "_count"), (Life, "_on_beat")):
        getattr(owner, name)
        setattr(owner, name, _nothing)


if __name__ == "__main__":
    take_out()
    run(Echo)
