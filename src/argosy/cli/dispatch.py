"""Parses the command line, runs one verb, and reports what went wrong."""

from __future__ import annotations

import argparse
import errno
import importlib
import signal
import sys
from typing import NoReturn

from argosy.cli.helptext import Formatter
from argosy.cli.stdout import give_up_stdout
from argosy.cli.verbs import HABITS, MODULES, VERBS
from argosy.fault import ArgosyError, Fault, InputError

INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are argosy's: one error, one hint, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise InputError(Fault("", "usage", message, f"`{self.prog} --help`"))


def dispatch(words: list[str]) -> int:
    """Run the verb that `words` name; never raises but on --debug."""
    as_json = "--json" in words
    debug = "--debug" in words
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except ArgosyError as error:
        if debug:
            raise
        from argosy.cli.report import report_error  # noqa: PLC0415

        return report_error(error, as_json=as_json)
    except KeyboardInterrupt:
        if debug:
            raise
        give_up_stdout()
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone (`argosy logs | head`): nothing is left to say.
        give_up_stdout()
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and _is_full(error):
            give_up_stdout()
            sys.stderr.write(f"error: the output cannot be written: {error.strerror}\n")
            return 1
        from argosy.cli.report import report_error  # noqa: PLC0415

        fault = Fault(
            "",
            "internal",
            f"argosy itself failed: {type(error).__name__}: {error}",
            "run it again with `--debug` for the traceback",
        )
        return report_error(ArgosyError(fault), as_json=as_json)

    finally:
        # What is left is to end: another Ctrl-C must not turn that into a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _is_full(error: OSError) -> bool:
    """Return whether stdout could not be written; an error that names a file is another matter."""
    return error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF) and error.filename is None


def _verb_hint(word: str) -> str:
    if word in HABITS:
        return f"`argosy {HABITS[word]}` does that"
    import difflib  # noqa: PLC0415

    near = difflib.get_close_matches(word, VERBS, 1)
    return f"did you mean `argosy {near[0]}`?" if near else "`argosy --help` lists the verbs"


def _run(words: list[str]) -> int:
    if words[0] == "help":
        words = [*words[1:2], "--help"]
    if words[:2] == ["completion", "words"]:  # asked by the shell: its words are not argosy's options
        from argosy.cli.candidates import offer  # noqa: PLC0415

        return offer(words[2:])
    verb = words[0]
    if verb not in VERBS:
        raise InputError(Fault("", "unknown-verb", f"there is no verb `{verb}`", _verb_hint(verb)))
    module = importlib.import_module(f"argosy.cli.{MODULES.get(verb, verb)}")
    parser = Parser(
        prog=f"argosy {verb}",
        description=module.__doc__,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    module.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    # Options may stand between FLEET and the agents; argparse's help, however, suffers from looking for them.
    is_help = not {"-h", "--help"}.isdisjoint(words)
    if not is_help:
        parser.usage = ""  # it is shown nowhere else, and to write it loads what unpacks archives
    args = (parser.parse_args if is_help else parser.parse_intermixed_args)(words[1:])
    args.verb = verb
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code: int = module.run(args)
    return code
