"""Formats the help of a command: one line of usage, and every argument once."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Final

MAX_WIDTH: Final = 100


class CommandHelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Argparse's formatter with a short usage line: the options are listed below it only.

    A positional whose metavar has several words, such as `FLEET AGENT METHOD`, gets two entries, `FLEET` and
    `AGENT`, with one line of its help each; the usage shows the whole metavar.
    """

    def __init__(self, prog: str, indent_increment: int = 2, max_help_position: int = 24) -> None:
        # Argparse creates a formatter for each added argument; a fixed width avoids a query of the terminal.
        super().__init__(prog, indent_increment, max_help_position, width=MAX_WIDTH)

    def format_help(self) -> str:
        import shutil  # noqa: PLC0415 - slow to load, and most commands show no help

        self._width = min(shutil.get_terminal_size().columns - 2, MAX_WIDTH)
        self._max_help_position = min(self._max_help_position, max(self._width - 20, 4))
        return super().format_help()

    def _format_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[object],
        prefix: str | None,
    ) -> str:
        parts = [word for action in actions if not action.option_strings for word in _usage_parts(action)]
        return " ".join(["usage:", self._prog, *parts, "[options]"]) + "\n\n"

    def _format_action(self, action: argparse.Action) -> str:
        names, helps = _metavar_names(action), (action.help or "").split("\n")
        if action.option_strings or len(names) == 1:
            return super()._format_action(action)
        return "".join(
            super(CommandHelpFormatter, self)._format_action(
                argparse.Action([], action.dest, metavar=name, help=text, required=True)
            )
            for name, text in zip(names, helps, strict=True)
        )

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return _metavar_names(action)[0]
        choices = "|".join(map(str, action.choices or ()))
        value = "" if action.nargs == 0 else f" {action.metavar or choices or action.dest.upper()}"
        return ", ".join(action.option_strings) + value


def _metavar_names(action: argparse.Action) -> tuple[str, ...]:
    return tuple(str(action.metavar or action.dest).split(" ", 1))


def _usage_parts(action: argparse.Action) -> tuple[str, ...]:
    first, *others = _metavar_names(action)
    if action.nargs == "*":
        return f"[{first}]", *others
    if action.nargs == "?":
        return (f"[{first}]",)
    return (f"{first}...",) if action.nargs == "+" else (first,)
