"""The command line: finds the verb, loads only its room, and turns errors into exit codes."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # the name that type checkers know; `typing` itself would cost a third of `--version`
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the entry point of `argosy`."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from argosy.cli.stdout import open_closed  # noqa: PLC0415

        open_closed()
    words = list(sys.argv[1:] if argv is None else argv)
    if words in (["--version"], ["-V"], ["-v"], ["version"]):
        from argosy import __version__  # noqa: PLC0415

        return _say(f"argosy {__version__}\n")
    if words in ([], ["--help"], ["-h"], ["help"]):
        from argosy.cli.verbs import help_text  # noqa: PLC0415

        return _say(help_text())
    # Nothing has begun before the rooms are loaded, and an interrupted import of a C extension may crash.
    try:
        import signal  # noqa: PLC0415

        signal.signal(signal.SIGINT, _end_at_once)
    except KeyboardInterrupt:
        _end_at_once()
    from argosy.cli.dispatch import dispatch  # noqa: PLC0415

    return dispatch(words)


def _say(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # its reader has gone, as in `argosy --help | head -1`
        from argosy.cli.stdout import give_up_stdout  # noqa: PLC0415

        give_up_stdout()
    return 0


def _end_at_once(*_: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)
