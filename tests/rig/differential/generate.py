"""Random programs that mostly mean something: each step is chosen by what is open, bound and connected."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec

from rig.differential.program import Program, Step

_PAIRS: Final = (("PUSH", "PULL"), ("PAIR", "PAIR"), ("REQ", "REP"), ("PUB", "SUB"), ("DEALER", "DEALER"))
_PEERS: Final = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])} | {"ROUTER": "DEALER"}
_SENDERS: Final = frozenset({"PUSH", "PAIR", "REQ", "PUB", "DEALER", "REP", "ROUTER"})
_RECEIVERS: Final = frozenset({"PULL", "PAIR", "REQ", "REP", "SUB", "DEALER", "ROUTER"})
TRANSPORTS: Final = ("tcp:", "ipc:", "ipc@:", "inproc:")
_OPTIONS: Final = (
    ("LINGER", (-1, 0, 100)),
    ("SNDHWM", (1, 2)),
    ("RCVHWM", (1, 2)),
    ("RCVTIMEO", (0, 60)),
    ("SNDTIMEO", (0, 60)),
    ("IMMEDIATE", (1,)),
)


class _Socket(msgspec.Struct, eq=False):
    name: str
    kind: str
    context: str
    ends: list[tuple[str, int]] = []


class Generator:
    """Writes one program. transports: those that it may use."""

    def __init__(self, seed: int, transports: tuple[str, ...] = TRANSPORTS) -> None:
        self.random = random.Random(seed)
        self.transport = self.random.choice(transports)
        self.numbers = {"c": 0, "s": 0, "e": 0, "t": 0}
        self.contexts: list[str] = []
        self.sockets: list[_Socket] = []
        self.bound: dict[int, _Socket] = {}
        self.freed: list[int] = []
        self.threads: list[str] = []
        self.late: list[Step] = []

    def program(self) -> Program:
        """Return a program of some 5 to 25 steps."""
        if self.transport != "inproc:" and self.random.random() < 0.2:
            self.late = [[self.transport, 7, 0.5]]
        steps = self.steps(self.random.randint(4, 14), 0)
        steps += [["join", each] for each in self.threads]
        ends = self.random.choices(["", "exit", "raise"], [8, 1, 1])[0]
        return Program(steps, self.late, ends)

    def steps(self, count: int, depth: int) -> list[Step]:
        """Return the steps of one block."""
        made: list[Step] = []
        while len(made) < count:
            made += self._next(depth)
        return made

    def _next(self, depth: int) -> list[Step]:
        if not self.contexts:
            return [self._context()]
        if len(self.sockets) < 2 and self.random.random() < 0.8:
            return self._socket()
        weights: dict[Any, float] = {
            self._socket: 2 if len(self.sockets) < 5 else 0.2,
            self._exchange: 4,
            self._send: 2,
            self._receive: 2,
            self._option: 1,
            self._close: 2,
            self._end: 1.5,
            self._rebind: 2 if self.freed else 0,
            self._pause: 0.5,
            self._odd: 1,
            self._waiter: 0.4,
        }
        if depth < 2:
            weights[lambda: self._block(depth)] = 2.5
        return list(self.random.choices(list(weights), list(weights.values()))[0]())

    def _name(self, letter: str) -> str:
        self.numbers[letter] += 1
        return f"{letter}{self.numbers[letter] - 1}"

    def _context(self) -> Step:
        name = self._name("c")
        self.contexts.append(name)
        return ["context", name]

    def _socket(self, kind: str = "") -> list[Step]:
        if self.random.random() < 0.15:
            return [self._context()]
        kind = kind or self._kind()
        made = _Socket(self._name("s"), kind, self.random.choice(self.contexts[-2:]))
        self.sockets.append(made)
        steps: list[Step] = [["socket", made.name, made.context, kind]]
        if self.random.random() < 0.2:
            steps.append(["option", made.name, "LINGER", self.random.choice([-1, 0, 100])])
        return steps + (self._join(made) if self.random.random() < 0.95 else [])

    def _kind(self) -> str:
        wanted = [_PEERS[each.kind] for each in self.bound.values()]
        if wanted and self.random.random() < 0.7:
            return self.random.choice(wanted)
        return self.random.choice(list(_PEERS))

    def _join(self, made: _Socket) -> list[Step]:
        fitting = [number for number, each in self.bound.items() if _PEERS[each.kind] == made.kind]
        if fitting and self.random.random() < 0.85:
            number = self.random.choice(fitting)
            made.ends.append(("connect", number))
            identity: list[Step] = []
            if self.bound[number].kind == "ROUTER":
                identity = [["option", made.name, "IDENTITY", 'b"peer"']]
            return [*identity, ["connect", made.name, self.transport, number]]
        if self.late and made.kind == "PUSH" and self.random.random() < 0.7:
            return [["connect", made.name, self.transport, 7]]
        if self.random.random() < 0.12:  # to nobody, or to who binds it later
            number = self.random.choice([6, self.numbers["e"]])
            made.ends.append(("connect", number))
            return [["connect", made.name, self.transport, number]]
        return self._bind(made)

    def _bind(self, made: _Socket, number: int = -1) -> list[Step]:
        if number < 0:
            number = self.numbers["e"]
            self.numbers["e"] += 1
        self.bound[number] = made
        made.ends.append(("bind", number))
        if self.transport in ("tcp:", "ipc:") and self.random.random() < 0.1:
            return [["bind_any", made.name, self.transport[:-1], number]]
        return [["bind", made.name, self.transport, number]]

    def _rebind(self) -> list[Step]:
        number = self.random.choice(self.freed)
        if number in self.bound:
            return []
        made = _Socket(self._name("s"), self.random.choice(list(_PEERS)), self.random.choice(self.contexts))
        self.sockets.append(made)
        return [["socket", made.name, made.context, made.kind], *self._bind(made, number)]

    def _exchange(self) -> list[Step]:
        """Return a message from one socket to another that is connected to it."""
        for sender in self.random.sample(self.sockets, len(self.sockets)):
            for taker in self.sockets:
                is_met = not {n for _, n in sender.ends}.isdisjoint(n for _, n in taker.ends)
                if is_met and _PEERS[sender.kind] == taker.kind and sender.kind not in ("REP", "ROUTER"):
                    return [*self._send(sender), *self._receive(taker)]
        return []

    def _send(self, sender: _Socket | None = None) -> list[Step]:
        sender = sender or self._any(_SENDERS)
        if sender is None:
            return []
        count = self.random.choice([1, 1, 1, 2, 3])
        told = [["send", sender.name, sender.kind, f"m{self.random.randrange(100)}"] for _ in range(count)]
        # Who subscribed last may not be known yet.
        return [["pause", 0.1], *told] if sender.kind == "PUB" else told

    def _receive(self, taker: _Socket | None = None) -> list[Step]:
        taker = taker or self._any(_RECEIVERS)
        if taker is None:
            return []
        choice = self.random.random()
        if choice < 0.1:
            return [["poll", taker.name, self.random.choice([0, 60, 200])], ["recv_now", taker.name]]
        if choice < 0.2:
            names = sorted({taker.name, self.random.choice(self.sockets).name})
            return [["poller", names, self.random.choice([60, 200])]]
        return [["recv", taker.name]]

    def _any(self, kinds: frozenset[str]) -> _Socket | None:
        found = [each for each in self.sockets if each.kind in kinds]
        return self.random.choice(found) if found else None

    def _option(self) -> list[Step]:
        if not self.sockets:
            return []
        name, values = self.random.choice(_OPTIONS)
        return [["option", self.random.choice(self.sockets).name, name, self.random.choice(values)]]

    def _pause(self) -> list[Step]:
        return [["pause", self.random.choice([0.02, 0.1])]]

    def _odd(self) -> list[Step]:
        """Return what goes wrong, or asks."""
        if not self.sockets:
            return []
        each = self.random.choice(self.sockets)
        if each.ends and self.random.random() < 0.5:
            how, number = self.random.choice(each.ends)
            return [[{"bind": "unbind", "connect": "disconnect"}[how], each.name, self.transport, number]]
        return self.random.choice(
            [
                [["is_closed", each.name]],
                [["is_closed", each.context]],
                [["bind", each.name, self.transport, self.random.randrange(4)]],
            ]
        )

    def _forget(self, each: _Socket) -> None:
        self.sockets.remove(each)
        self._unbind_all(each)

    def _close(self) -> list[Step]:
        if not self.sockets:
            return []
        each = self.random.choice(self.sockets)
        self._forget(each)
        choice = self.random.random()
        if choice < 0.15:
            after: list[Step] = [["recv" if each.kind in _RECEIVERS else "is_closed", each.name]]
        else:
            after = [["pause", 0.05]] if choice < 0.6 else []
        if choice > 0.8:
            return [["close_with", each.name, self.random.choice([0, 0, 100, -1])]]
        return [["drop" if choice > 0.7 else "close", each.name], *([] if choice > 0.7 else after)]

    def _end(self) -> list[Step]:
        """Return the end of a context; for a `term` its sockets are closed first, in most."""
        context = self.random.choice(self.contexts)
        mine = [each for each in self.sockets if each.context == context]
        way = self.random.choice(["term", "term", "destroy", "destroy_with", "drop", "again"])
        steps: list[Step] = []
        for each in mine:
            self._forget(each)
            if way == "term" and self.random.random() < 0.97:
                steps.append(["close", each.name])
            elif way in ("drop", "again"):
                steps.append(["drop", each.name])
        if way != "again":
            self.contexts.remove(context)
        linger = [self.random.choice([0, 100, -1])] if way == "destroy_with" else []
        steps.append([way, context, *linger])
        if way != "drop" and self.random.random() < 0.2:
            steps.append(["is_closed", context])
        return steps

    def _waiter(self) -> list[Step]:
        """Return a thread that waits on a socket of its own while another one ends the context."""
        context = self.random.choice(self.contexts)
        steps: list[Step] = []
        for each in [each for each in self.sockets if each.context == context]:
            self._forget(each)
            steps.append(["close", each.name])
        self.contexts.remove(context)
        thread, kind = self._name("t"), self.random.choice(["PULL", "PUSH", "REP", "DEALER"])
        made = _Socket(self._name("s"), kind, context)
        waits: list[Step] = [["send", made.name, kind, "m"]] if kind == "PUSH" else [["recv", made.name]]
        if kind == "REP":
            waits = [["poll", made.name, -1]]
        limit: list[Step] = [["option", made.name, name, -1] for name in ("RCVTIMEO", "SNDTIMEO")]
        joined = self._bind(made)
        self._unbind_all(made)
        inside: list[Step] = [*limit, *joined, *waits, *self.random.choice([[], waits])]
        steps += [["thread", thread, [["with_socket", made.name, context, kind, inside]]], ["pause", 0.1]]
        return [*steps, ["term", context], ["join", thread]]

    def _unbind_all(self, made: _Socket) -> None:
        for number in [number for number, holder in self.bound.items() if holder is made]:
            del self.bound[number]
            self.freed.append(number)

    def _block(self, depth: int) -> list[Step]:
        """Return steps in a scope of their own; what they open is gone after it."""
        word = self.random.choice(["scope", "scope", "raising", "thread", "fork", "with", "with_socket"])
        before = (list(self.contexts), list(self.sockets), dict(self.bound), list(self.threads))
        names: list[str] = []
        if word == "with":
            names = [self._name("c")]
            self.contexts.append(names[0])
        elif word == "with_socket":
            made = _Socket(self._name("s"), self._kind(), self.random.choice(self.contexts))
            self.sockets.append(made)
            names = [made.name, made.context, made.kind]
        elif word == "thread":
            names = [self._name("t")]
        if word in ("fork", "thread") or self.random.random() < 0.6:
            self._leave_outer(word)
        inner = self.steps(self.random.randint(2, 6), depth + 1)
        freed = [number for number in self.bound if number not in before[2]]
        self.contexts, self.sockets, self.bound, self.threads = before
        self.freed += freed
        return self._around(word, names, inner, depth)

    def _leave_outer(self, word: str) -> None:
        """Let the steps of a block have sockets of their own, and of a child a context as well."""
        self.sockets = [each for each in self.sockets if each.context not in self.contexts[:-1]][-1:]
        if word in ("fork", "scope", "raising"):
            self.contexts, self.sockets = [], []

    def _around(self, word: str, names: list[str], inner: list[Step], depth: int) -> list[Step]:
        if word == "thread":
            if depth or self.random.random() < 0.6:
                return [[word, *names, inner], ["join", names[0]]]
            self.threads.append(names[0])
        return [[word, *names, inner]]


def generate(seed: int, transports: tuple[str, ...] = TRANSPORTS) -> Program:
    """Return the program of a seed."""
    return Generator(seed, transports).program()
