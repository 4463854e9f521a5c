"""The command line: `main` finds the command, imports only its module and returns the exit code.

The commands are in `argosy.cli.commands`, what they print in `argosy.cli.render`. Only `main` is for use
from outside.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # the name that type checkers know; `typing` itself would cost a third of `--version`
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. The entry point of `argosy`."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from argosy.cli.standard_streams import reopen_closed_streams  # noqa: PLC0415

        reopen_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"], ["-v"], ["version"]):
        from argosy import __version__  # noqa: PLC0415

        return _write_stdout(f"argosy {__version__}\n")
    if arguments in ([], ["--help"], ["-h"], ["help"]):
        from argosy.cli.command_table import help_text  # noqa: PLC0415

        return _write_stdout(help_text())
    # No work has started yet, and an interrupted import of a C extension may crash: exit at once.
    try:
        import signal  # noqa: PLC0415

        signal.signal(signal.SIGINT, _exit_interrupted)
    except KeyboardInterrupt:
        _exit_interrupted()
    from argosy.cli.dispatch import dispatch  # noqa: PLC0415

    return dispatch(arguments)


def _write_stdout(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has exited, as in `argosy --help | head -1`
        from argosy.cli.standard_streams import discard_stdout  # noqa: PLC0415

        discard_stdout()
    return 0


def _exit_interrupted(*_: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)
