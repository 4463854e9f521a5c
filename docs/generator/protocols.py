"""What two processes agree on: the states of an agent, and the frames of the wire."""

from __future__ import annotations

import inspect
import re
from types import ModuleType

from markdown import code, table

from argosy.engine.protocol import state_machine
from argosy.wire import errors
from argosy.wire.protocol import frame

_COMMENTED = re.compile(
    r"^    (\w+) = \"([\w-]+)\"(?:  # (.*))?$|^(\w+): Final = (\d+)  # (.*)$", re.MULTILINE
)


def _comments(module: ModuleType) -> dict[str, str]:
    """Return the comment beside each constant and each member of an enum, by its name."""
    found = _COMMENTED.findall(inspect.getsource(module))
    return {name or constant: comment or text for name, _, comment, constant, _, text in found}


def transitions() -> str:
    """Return the table of (state, event) to (state, action)."""
    rows = [
        (code(state), code(event), code(transition.state), code(transition.action))
        for state, events in state_machine.TRANSITIONS.items()
        for event, transition in events.items()
    ]
    return table(("in", "on", "next state", "action"), rows)


def events() -> str:
    """Return the events of the state machine with their meanings."""
    source = inspect.getsource(state_machine.UnitEvent)
    found = re.findall(r"^    \w+ = \"([\w-]+)\"  # (.*)$", source, re.MULTILINE)
    return table(("event", "meaning"), [(code(name), text) for name, text in found])


def kinds() -> str:
    """Return the kinds of messages."""
    comments = _comments(frame)
    rows = []
    for name, value in sorted(vars(frame).items(), key=lambda item: str(item[1])):
        if (
            name.isupper()
            and name in comments
            and value in frame.KINDS
            and not name.startswith(("VERSION", "MAX_"))
        ):
            sender, _, content = comments[name].partition(": ")
            rows.append((str(value), code(name), sender, content))
    return table(("kind", "name", "from", "content"), rows)


def header() -> str:
    """Return the layout of the header, as its module has it."""
    return "```text\n" + inspect.cleandoc((frame.__doc__ or "").split("\n\n")[1]) + "\n```\n"


def error_tree() -> str:
    """Return the errors with which a request may end, as their module has them."""
    return "```text\n" + inspect.cleandoc((errors.__doc__ or "").split("\n\n")[1]) + "\n```\n"


REGIONS = {
    "states.transitions": transitions,
    "states.events": events,
    "wire.kinds": kinds,
    "wire.header": header,
    "wire.errors": error_tree,
}
