"""Faults as data, and the exceptions that carry them.

ArgosyError            any error about the input or the environment
+-- InputError         the input is wrong (exit code 2)
+-- MissingError       a required tool, extra or service is missing (exit code 3)
+-- RefusedError       understood but not done: the answer is bad (exit code 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class Fault(msgspec.Struct, frozen=True, order=True):
    """One error or warning.

    where: `file:line:column`, an option, or a name: the place to look at.
    code: a short stable identifier for programs, such as `unknown-key`.
    message: what was found and what was expected.
    hint: what to do or paste; empty when the message is enough.
    """

    where: str
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}" + (f"\nhint: {self.hint}" if self.hint else "")


class ArgosyError(Exception):
    """The root of argosy's own exceptions; holds one or more faults."""

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
    """A required tool, extra or service is missing."""

    exit_code = 3
