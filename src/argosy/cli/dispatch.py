"""Parses the command line, runs one verb, and reports what went wrong."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import NoReturn

from argosy.cli.helptext import Formatter
from argosy.cli.verbs import MODULES, VERBS
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
        return _run(words)
    except ArgosyError as error:
        if debug:
            raise
        from argosy.cli.report import report_error  # noqa: PLC0415

        return report_error(error, as_json=as_json)
    except KeyboardInterrupt:
        if debug:
            raise
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone (`argosy logs | head`): nothing is left to say.
        sys.stderr.close()
        return 0
    except Exception as error:
        if debug:
            raise
        from argosy.cli.report import report_error  # noqa: PLC0415

        fault = Fault(
            "",
            "internal",
            f"argosy itself failed: {type(error).__name__}: {error}",
            "run it again with `--debug` for the traceback",
        )
        return report_error(ArgosyError(fault), as_json=as_json)


def _run(words: list[str]) -> int:
    if words[0] == "help":
        words = [*words[1:2], "--help"]
    verb = words[0]
    if verb not in VERBS:
        import difflib  # noqa: PLC0415

        near = difflib.get_close_matches(verb, VERBS, 1)
        hint = f"did you mean `argosy {near[0]}`?" if near else "`argosy --help` lists the verbs"
        raise InputError(Fault("", "unknown-verb", f"there is no verb `{verb}`", hint))
    module = importlib.import_module(f"argosy.cli.{MODULES.get(verb, verb)}")
    parser = Parser(
        prog=f"argosy {verb}",
        description=module.__doc__,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    module.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    args = parser.parse_args(words[1:])
    code: int = module.run(args)
    return code
