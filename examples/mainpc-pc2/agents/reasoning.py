"""Reasoning: arithmetic as code, step by step and by search; beliefs; facts that follow from facts."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, Final

from agents import text_analysis
from agents.base_agent import Member, ModelOptions, RefusalError
from argosy.agent import request

OPERATORS: Final = {"plus": "+", "minus": "-", "times": "*"}
_APPLY: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def code_of(text: str) -> str:
    """Return the expression that a text names with numbers and words such as `plus`; may be empty."""
    parts = [OPERATORS.get(word, word) for word in text_analysis.tokens(text)]
    return " ".join(part for part in parts if part.isdecimal() or part in OPERATORS.values())


def reckon(code: str) -> float:
    """Return the value of an expression of whole numbers, `+`, `-` and `*`.

    Raises RefusalError: it is something else, or longer than 200 characters.
    """
    try:
        if len(code) > 200:
            raise ValueError(f"{len(code)} characters")
        return _value(ast.parse(code, mode="eval").body)
    except (SyntaxError, ValueError) as error:
        raise RefusalError(
            f"`{code[:40]}` is not an expression of numbers, `+`, `-` and `*`: {error}"
        ) from error


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _APPLY:
        return _APPLY[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError(f"{type(node).__name__} is not allowed")


class CodeWriter(Member):
    """Writes the code for what a text asks to be reckoned."""

    Options = ModelOptions

    async def greet(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def write(self, text: str) -> str:
        """Return the expression that a text names; refused when it names none."""
        code = code_of(text)
        if not code:
            raise RefusalError(f"`{text[:40]}` names no numbers")
        return code

    @request(short=True)
    def operators(self) -> list[str]:
        """Return the words that are understood."""
        return list(OPERATORS)


class Calculator(Member):
    """Has code written and executes it: numbers, plus, minus and times, nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self._done = 0

    async def greet(self) -> None:
        """Learn the words that are understood."""
        await self.meet("CodeGenerator", "operators")

    @request
    async def execute(self, text: str) -> float:
        """Return the value of what a text asks; refused when it asks for nothing that can be reckoned."""
        value = reckon(await self.ask("CodeGenerator", "write", returns=str, text=text))
        self._done += 1
        return value

    def facts(self) -> dict[str, Any]:
        """Return how many expressions were executed."""
        return {"executed": self._done}


class StepByStep(Member):
    """Reckons from left to right, and shows each step."""

    Options = ModelOptions

    async def greet(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def steps(self, text: str) -> list[str]:
        """Return each step of what a text asks to be reckoned; refused when that is nothing."""
        parts = code_of(text).split()
        if not parts:
            raise RefusalError(f"`{text[:40]}` names no numbers")
        told, so_far = [], parts[0]
        for sign, number in zip(parts[1::2], parts[2::2], strict=False):
            value = f"{reckon(f'{so_far} {sign} {number}'):g}" if so_far.isdecimal() else so_far
            told.append(f"{so_far} {sign} {number} = {value}")
            so_far = value
        return told


class TreeSearch(Member):
    """Finds a way to a number by searching the tree of all ways to put others together."""

    Options = ModelOptions

    async def greet(self) -> None:
        """Reserve the model's memory, and see that the step by step reckoner is there."""
        await self.reserve_model()
        await self.meet("ChainOfThoughtAgent")

    @request
    def reach(self, target: int, numbers: list[int]) -> str:
        """Return an expression of some of up to 5 numbers, each used once, with the value; else empty."""
        if len(numbers) > 5:
            raise RefusalError(f"{len(numbers)} numbers make too large a tree; 5 at most")
        return _reach(target, [(number, str(number)) for number in numbers])


def _reach(target: int, have: list[tuple[int, str]]) -> str:
    """Search depth first: each step puts two of what there is together."""
    for value, text in have:
        if value == target:
            return text
    for i, (a, left) in enumerate(have):
        for j, (b, right) in enumerate(have):
            if i == j:
                continue
            rest = [item for k, item in enumerate(have) if k not in (i, j)]
            for value, sign in ((a + b, "+"), (a * b, "*"), (a - b, "-")):
                found = _reach(target, [*rest, (value, f"({left} {sign} {right})")])
                if found:
                    return found
    return ""


class Beliefs(Member):
    """Holds statements with how likely they are, and changes that by evidence (Bayes' rule)."""

    def __init__(self) -> None:
        super().__init__()
        self._belief: dict[str, float] = {}

    async def greet(self) -> None:
        """See that the step by step reckoner is there."""
        await self.meet("ChainOfThoughtAgent")

    @request(short=True)
    def evidence(self, statement: str, if_true: float, if_false: float) -> float:
        """Return how likely a statement is after evidence that has these chances; before it was even."""
        prior = self._belief.get(statement, 0.5)
        total = prior * if_true + (1 - prior) * if_false
        if not (0 <= if_true <= 1 and 0 <= if_false <= 1 and total > 0):
            raise RefusalError(f"chances are from 0 to 1 and not both 0; got {if_true} and {if_false}")
        self._belief[statement] = prior * if_true / total
        return self._belief[statement]

    def facts(self) -> dict[str, Any]:
        """Return how many statements are held."""
        return {"statements": len(self._belief)}


class FactReasoner(Member):
    """Draws what follows from `a is b` and `b is c`."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._is: dict[str, set[str]] = {}

    async def greet(self) -> None:
        """See that the memory it reasons over is there."""
        await self.meet("MemoryOrchestratorService", "count")

    @request(short=True)
    def tell(self, subject: str, kind: str) -> None:
        """Take a fact: `subject` is a `kind`."""
        self._is.setdefault(subject, set()).add(kind)

    @request(short=True)
    def follows(self, subject: str) -> list[str]:
        """Return all kinds that a subject is, directly or through others."""
        found: set[str] = set()
        todo = [subject]
        while todo:
            for kind in self._is.get(todo.pop(), set()) - found:
                found.add(kind)
                todo.append(kind)
        return sorted(found)

    def facts(self) -> dict[str, Any]:
        """Return how many facts were told."""
        return {"facts": sum(map(len, self._is.values()))}
