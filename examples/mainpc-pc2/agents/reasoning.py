"""Reasoning: arithmetic as code, step by step and by search; beliefs; deduction of facts."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, Final

from agents import text_analysis
from agents.base_agent import ExampleAgent, ModelOptions, RejectedError
from argosy.agent import request

OPERATORS: Final = {"plus": "+", "minus": "-", "times": "*"}
_APPLY: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def code_of(text: str) -> str:
    """Return the expression in a text, from numbers and words such as `plus`; may be empty."""
    parts = [OPERATORS.get(word, word) for word in text_analysis.tokens(text)]
    return " ".join(part for part in parts if part.isdecimal() or part in OPERATORS.values())


def evaluate(code: str) -> float:
    """Return the value of an expression of whole numbers, `+`, `-` and `*`.

    Raises RejectedError: it is not such an expression, or longer than 200 characters.
    """
    try:
        if len(code) > 200:
            raise ValueError(f"{len(code)} characters")
        return _value(ast.parse(code, mode="eval").body)
    except (SyntaxError, ValueError) as error:
        raise RejectedError(
            f"`{code[:40]}` is not an expression of numbers, `+`, `-` and `*`: {error}"
        ) from error


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _APPLY:
        return _APPLY[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError(f"{type(node).__name__} is not allowed")


class CodeWriter(ExampleAgent):
    """Writes the code for the calculation in a text."""

    Options = ModelOptions

    async def contact_peers(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def write(self, text: str) -> str:
        """Return the expression in a text; rejected if there is none."""
        code = code_of(text)
        if not code:
            raise RejectedError(f"`{text[:40]}` contains no numbers")
        return code

    @request(short=True)
    def operators(self) -> list[str]:
        """Return the known words for operators."""
        return list(OPERATORS)


class Calculator(ExampleAgent):
    """Executes generated code, which may contain only numbers, plus, minus and times."""

    def __init__(self) -> None:
        super().__init__()
        self._done = 0

    async def contact_peers(self) -> None:
        """Check that the code generator is available."""
        await self.ask_at_start("CodeGenerator", "operators")

    @request
    async def execute(self, text: str) -> float:
        """Return the value of the calculation in a text; rejected if there is none."""
        value = evaluate(await self.ask("CodeGenerator", "write", returns=str, text=text))
        self._done += 1
        return value

    def facts(self) -> dict[str, Any]:
        """Return the number of executed expressions."""
        return {"executed": self._done}


class StepByStep(ExampleAgent):
    """Calculates from left to right, and shows each step."""

    Options = ModelOptions

    async def contact_peers(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def steps(self, text: str) -> list[str]:
        """Return each step of the calculation in a text; rejected if there is none."""
        parts = code_of(text).split()
        if not parts:
            raise RejectedError(f"`{text[:40]}` contains no numbers")
        steps, so_far = [], parts[0]
        for sign, number in zip(parts[1::2], parts[2::2], strict=False):
            value = f"{evaluate(f'{so_far} {sign} {number}'):g}" if so_far.isdecimal() else so_far
            steps.append(f"{so_far} {sign} {number} = {value}")
            so_far = value
        return steps


class TreeSearch(ExampleAgent):
    """Finds an expression with a given value by a search over combinations of numbers."""

    Options = ModelOptions

    async def contact_peers(self) -> None:
        """Reserve the model's memory, and check that the step-by-step agent is available."""
        await self.reserve_model()
        await self.ask_at_start("ChainOfThoughtAgent")

    @request
    def reach(self, target: int, numbers: list[int]) -> str:
        """Return an expression with the value `target` from up to 5 numbers, each used once; else empty."""
        if len(numbers) > 5:
            raise RejectedError(f"{len(numbers)} numbers are too many; the maximum is 5")
        return _reach(target, [(number, str(number)) for number in numbers])


def _reach(target: int, have: list[tuple[int, str]]) -> str:
    """Search depth first: each step combines two of the numbers."""
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


class Beliefs(ExampleAgent):
    """Stores the probabilities of statements, and updates them by evidence (Bayes' rule)."""

    def __init__(self) -> None:
        super().__init__()
        self._belief: dict[str, float] = {}

    async def contact_peers(self) -> None:
        """Check that the step-by-step agent is available."""
        await self.ask_at_start("ChainOfThoughtAgent")

    @request(short=True)
    def evidence(self, statement: str, if_true: float, if_false: float) -> float:
        """Return the probability of a statement after evidence; the initial one is 0.5.

        if_true, if_false: the probability of the evidence if the statement is true, and if it is false.
        """
        prior = self._belief.get(statement, 0.5)
        total = prior * if_true + (1 - prior) * if_false
        if not (0 <= if_true <= 1 and 0 <= if_false <= 1 and total > 0):
            raise RejectedError(f"probabilities are from 0 to 1, not both 0; got {if_true} and {if_false}")
        self._belief[statement] = prior * if_true / total
        return self._belief[statement]

    def facts(self) -> dict[str, Any]:
        """Return the number of statements."""
        return {"statements": len(self._belief)}


class FactReasoner(ExampleAgent):
    """Deduces facts from `a is b` and `b is c`."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._is: dict[str, set[str]] = {}

    async def contact_peers(self) -> None:
        """Check that memory is available."""
        await self.ask_at_start("MemoryOrchestratorService", "count")

    @request(short=True)
    def tell(self, subject: str, kind: str) -> None:
        """Store a fact: `subject` is a `kind`."""
        self._is.setdefault(subject, set()).add(kind)

    @request(short=True)
    def follows(self, subject: str) -> list[str]:
        """Return all kinds of a subject, direct and deduced."""
        found: set[str] = set()
        todo = [subject]
        while todo:
            for kind in self._is.get(todo.pop(), set()) - found:
                found.add(kind)
                todo.append(kind)
        return sorted(found)

    def facts(self) -> dict[str, Any]:
        """Return the number of stored facts."""
        return {"facts": sum(map(len, self._is.values()))}
