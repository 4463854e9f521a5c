"""Faults as data, and the errors that carry them up to a person or a program.

ArgosyError            anything argosy says about its input or its surroundings
+-- InputError         what was given is wrong (exit code 2)
+-- MissingError       a needed tool, extra or service is not there (exit code 3)
+-- RefusedError       understood, and not done: the answer is bad (exit code 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class Fault(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong.

    where: `file:line:column`, an option, or a name; what a person should look at.
    code: a short stable word for programs, such as `unknown-key`.
    message: what was found and what was expected.
    hint: what to do or paste; empty when the message says it all.
    """

    where: str
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}" + (f"\nhint: {self.hint}" if self.hint else "")


class ArgosyError(Exception):
    """The root of what argosy raises on purpose; holds one fault or many."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *faults: Fault) -> None:
        if not faults:
            raise TypeError("an ArgosyError needs at least one fault")
        self.faults: Sequence[Fault] = faults
        super().__init__("\n".join(map(str, faults)))


class RefusedError(ArgosyError):
    """The request was understood and could not be carried out."""

    exit_code = 1


class InputError(ArgosyError):
    """A file, an option or a variable is wrong."""

    exit_code = 2


class MissingError(ArgosyError):
    """A tool, an extra or a service that is needed is not there."""

    exit_code = 3
