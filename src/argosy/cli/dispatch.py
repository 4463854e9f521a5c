"""Parses the command line, runs one command and reports its errors."""

from __future__ import annotations

import argparse
import errno
import importlib
import signal
import sys
from typing import NoReturn

from argosy.cli.command_table import COMMANDS, MODULE_NAMES, SUGGESTIONS
from argosy.cli.help_formatter import CommandHelpFormatter
from argosy.cli.standard_streams import discard_stdout
from argosy.fault import ArgosyError, Fault, InputError

EXIT_INTERRUPTED = 130


class ArgosyParser(argparse.ArgumentParser):
    """An ArgumentParser that raises InputError: one error, one hint, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise InputError(Fault("", "usage", message, f"`{self.prog} --help`"))


def dispatch(arguments: list[str]) -> int:
    """Run the command that `arguments` name and return its exit code; raises only with --debug."""
    as_json = "--json" in arguments
    debug = "--debug" in arguments
    try:
        code = _run_command(arguments)
        sys.stdout.flush()
        return code
    except ArgosyError as error:
        if debug:
            raise
        from argosy.cli.console import report_error  # noqa: PLC0415

        return report_error(error, as_json=as_json)
    except KeyboardInterrupt:
        if debug:
            raise
        discard_stdout()
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe has exited, as in `argosy logs | head`.
        discard_stdout()
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and _is_unwritable_stdout(error):
            discard_stdout()
            sys.stderr.write(f"error: the output cannot be written: {error.strerror}\n")
            return 1
        from argosy.cli.console import report_error  # noqa: PLC0415

        message = f"internal error: {type(error).__name__}: {error}"
        hint = "run the command again with `--debug` to see the traceback"
        return report_error(ArgosyError(Fault("", "internal", message, hint)), as_json=as_json)
    finally:
        # The process is about to exit: another Ctrl-C must not cause a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _is_unwritable_stdout(error: OSError) -> bool:
    """Return whether writing to stdout failed; an error with a file name is about another file."""
    return error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF) and error.filename is None


def _command_hint(command: str) -> str:
    if command in SUGGESTIONS:
        return f"`argosy {SUGGESTIONS[command]}` does that"
    import difflib  # noqa: PLC0415

    closest = difflib.get_close_matches(command, COMMANDS, 1)
    return f"did you mean `argosy {closest[0]}`?" if closest else "`argosy --help` lists the commands"


def _run_command(arguments: list[str]) -> int:
    if arguments[0] == "help":
        arguments = [*arguments[1:2], "--help"]
    # Called by a shell's script with a partial command line; older scripts say `words`.
    if arguments[:2] in (["completion", "candidates"], ["completion", "words"]):
        from argosy.cli.completer import print_candidates  # noqa: PLC0415

        return print_candidates(arguments[2:])
    command = arguments[0]
    if command not in COMMANDS:
        message = f"there is no command `{command}`"
        raise InputError(Fault("", "unknown-command", message, _command_hint(command)))
    module = importlib.import_module(f"argosy.cli.commands.{MODULE_NAMES.get(command, command)}")
    parser = ArgosyParser(
        prog=f"argosy {command}",
        description=module.__doc__,
        allow_abbrev=False,
        formatter_class=CommandHelpFormatter,
    )
    module.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    # Options may appear between FLEET and the agents. Intermixed parsing breaks argparse's help.
    is_help = not {"-h", "--help"}.isdisjoint(arguments)
    if not is_help:
        parser.usage = ""  # not shown here, and formatting it imports shutil and the archive modules
    args = (parser.parse_args if is_help else parser.parse_intermixed_args)(arguments[1:])
    args.command = command
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code: int = module.run(args)
    return code
