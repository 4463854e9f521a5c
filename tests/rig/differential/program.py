"""A small language of sockets and contexts, and the Python that a program of it is.

A program is a list of steps, a step a list of a word and its arguments; the last argument of a block is the
list of its steps. Written in Python each step stands in `with note(NUMBER)`, which tells what it returned or
raised. What a program needs from outside is given to its `main`: `note`, `at` (endpoints), `fork` and
`has_begun` (whether the receivers that come late are there).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

Step = list[Any]
BLOCKS: Final = frozenset({"scope", "raising", "thread", "fork", "with", "with_socket"})
HEAD: Final = "import threading\nimport time\nimport zmq\n\n\ndef main(note, at, fork, has_begun):\n"


class Program(msgspec.Struct, frozen=True):
    """Steps, receivers of another process as [endpoint, seconds until they come], and how it exits."""

    steps: list[Step]
    late: list[Step] = []
    exit: str = ""


class _Writer:
    """Numbers the steps in their order, so that a step has the same number in every run."""

    def __init__(self, *, has_late: bool) -> None:
        self.number = -1
        self.tells = "told(has_begun())" if has_late else "pass"

    def write(self, steps: Sequence[Step], depth: int) -> Iterator[str]:
        """Yield the lines of a block."""
        for step in steps:
            self.number += 1
            yield from self._indented(depth, self._step(step, self.number))
        if not steps:
            yield from self._indented(depth, ["pass"])

    def _step(self, step: Step, number: int) -> Iterator[str]:
        word, *arguments = step
        if word in BLOCKS:
            yield from self._block(word, number, *arguments)
            return
        yield f"with note({number}) as told:"
        for line in _LINES[word](*arguments).split("\n"):
            yield f"    {line}"
        if word in ("term", "destroy", "drop", "again"):
            yield f"    {self.tells}"

    def _block(self, word: str, number: int, *arguments: Any) -> Iterator[str]:
        *names, steps = arguments
        if word in ("with", "with_socket"):
            made = "zmq.Context()" if word == "with" else f"{names[1]}.socket(zmq.{names[2]})"
            yield f"with note({number}) as told:"
            yield f"    with {made} as {names[0]}:"
            yield from self.write(steps, 2)
            yield f"    {self.tells}"
            return
        yield f"def {word}{number}():"
        yield from self.write(steps, 1)
        if word == "raising":
            yield "    raise LookupError"
        yield f"with note({number}) as told:"
        if word == "thread":
            yield f"    {names[0]} = threading.Thread(target={word}{number})"
            yield f"    {names[0]}.start()"
        elif word == "fork":
            yield f"    told(fork({word}{number}))"
        else:
            yield f"    {word}{number}()"
            yield f"    {self.tells}"

    def _indented(self, depth: int, lines: Any) -> Iterator[str]:
        return (textwrap.indent(line, "    " * depth) for line in lines)


_ANY: Final[dict[str, str]] = {"tcp": "127.0.0.1:*", "ipc": "*"}


def _made(socket: str, context: str, kind: str) -> str:
    lines = [f"{socket} = {context}.socket(zmq.{kind})", f"{socket}.rcvtimeo = {socket}.sndtimeo = 200"]
    if kind == "SUB":
        lines.append(f'{socket}.subscribe("")')
    return "\n".join(lines)


def _sent(socket: str, kind: str, text: str) -> str:
    if kind == "ROUTER":
        return f'{socket}.send_multipart([b"peer", b"{text}"])'
    return f'{socket}.send(b"{text}")'


_LINES: Final[dict[str, Any]] = {
    "context": lambda context: f"{context} = zmq.Context()",
    "again": lambda context: f"{context} = zmq.Context()",
    "socket": _made,
    "option": lambda socket, name, value: f"{socket}.setsockopt(zmq.{name}, {value})",
    "bind": lambda socket, kind, number: f'{socket}.bind(at("{kind}", {number}))',
    "bind_any": lambda socket, kind, number: (
        f'{socket}.bind("{kind}://{_ANY[kind]}")\nat.known[{number}] = {socket}.last_endpoint.decode()'
    ),
    "connect": lambda socket, kind, number: f'{socket}.connect(at("{kind}", {number}))',
    "unbind": lambda socket, kind, number: f'{socket}.unbind(at("{kind}", {number}))',
    "disconnect": lambda socket, kind, number: f'{socket}.disconnect(at("{kind}", {number}))',
    "send": _sent,
    "recv": lambda socket: f"told({socket}.recv())",
    "recv_now": lambda socket: f"told({socket}.recv(zmq.DONTWAIT))",
    "poll": lambda socket, milliseconds: f"told({socket}.poll({milliseconds}))",
    "poller": lambda sockets, milliseconds: (
        "poller = zmq.Poller()\n"
        + "\n".join(f"poller.register({each}, zmq.POLLIN)" for each in sockets)
        + f"\ntold([event for _, event in poller.poll({milliseconds})])"
    ),
    "close": lambda socket: f"{socket}.close()",
    "close_with": lambda socket, linger: f"{socket}.close({linger})",
    "is_closed": lambda name: f"told({name}.closed)",
    "term": lambda context: f"{context}.term()",
    "destroy": lambda context: f"{context}.destroy()",
    "destroy_with": lambda context, linger: f"{context}.destroy({linger})",
    "drop": lambda name: f"del {name}",
    "join": lambda thread: f"{thread}.join()",
    "pause": lambda seconds: f"time.sleep({seconds})",
}


def write(program: Program) -> str:
    """Return a program in Python."""
    writer = _Writer(has_late=bool(program.late))
    body = "\n".join(writer.write(program.steps, 1))
    ends = {"exit": "\n    raise SystemExit(3)", "raise": "\n    raise LookupError"}
    return f"{HEAD}{body}{ends.get(program.exit, '')}\n"


def shorter(program: Program) -> Iterator[Program]:
    """Yield the program with one step less, or a block's steps in its place, the longest blocks first."""
    for steps in _without_one(program.steps):
        yield msgspec.structs.replace(program, steps=steps)
    if program.late:
        yield msgspec.structs.replace(program, late=[])
    if program.exit:
        yield msgspec.structs.replace(program, exit="")


def _without_one(steps: list[Step]) -> Iterator[list[Step]]:
    for at in reversed(range(len(steps))):
        before, step, after = steps[:at], steps[at], steps[at + 1 :]
        yield before + after
        if step[0] in BLOCKS:
            yield before + step[-1] + after
            for inner in _without_one(step[-1]):
                yield [*before, [*step[:-1], inner], *after]
