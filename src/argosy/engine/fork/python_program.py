"""Runs a Python program in this process, as `python script.py` or `python -m module` would.

Used in a child of a zygote: everything that the program can observe is set up as after an exec.
docs/explanation/zygotes.md lists the differences: modules are loaded already, all agents share one hash seed.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import runpy
import signal
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import setproctitle

from argosy.engine.process.prctl import set_process_title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

# Runs the class named by its first argument.
RUNNER_MODULE = "argosy.agent"
# Hosts the cell whose manifest is its first argument.
CELL_MODULE = "argosy.agent.cell_host"


class PythonProgram(NamedTuple):
    """The part of a command line that follows the interpreter.

    target: a script's path, or a module's name. arguments: what follows it.
    """

    is_module: bool
    target: str
    arguments: tuple[str, ...]

    @property
    def code_id(self) -> str:
        """The identity of the program's code: the script, the module, or `module:Class`."""
        return self.arguments[0] if self.target == RUNNER_MODULE and self.arguments else self.target

    def sys_path_dir(self, cwd: str) -> str:
        """Return the first entry of sys.path for it (pathconfig.c, computed before it runs)."""
        return cwd if self.is_module else os.path.dirname(os.path.realpath(self.target))


def parse_command(argv: Sequence[str]) -> PythonProgram | None:
    """Return the program of an interpreter's command line; None if it has options or no program."""
    arguments = tuple(argv[1:])
    if arguments[:1] == ("-m",):
        return PythonProgram(True, arguments[1], arguments[2:]) if len(arguments) > 1 else None
    if not arguments or arguments[0].startswith("-"):
        return None
    return PythonProgram(False, arguments[0], arguments[1:])


def prepare_process(program: PythonProgram, argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Set up this process as an exec of `argv` with `env` would, without running the program.

    Raises ValueError or OSError: a name or value that an environment cannot hold.
    """
    os.environ.clear()
    os.environ.update(env)
    shown_argv = (
        [f"argosy: cell {os.path.basename(program.arguments[0])}"] if program.target == CELL_MODULE else argv
    )
    if not set_process_title(shown_argv, os.environb):
        setproctitle.setproctitle(" ".join(shown_argv))
    sys.orig_argv[:] = argv
    sys.argv[:] = ["-m" if program.is_module else program.target, *program.arguments]
    if not sys.flags.safe_path:
        sys.path.insert(0, program.sys_path_dir(os.getcwd()))
    _set_signals()
    _reseed()
    gc.enable()


def _set_signals() -> None:
    """Set the signal actions that Python sets at its start; all others have their default already."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if faulthandler.is_enabled():
        faulthandler.disable()
        faulthandler.enable()


def _reseed() -> None:
    """Reseed the generators that were seeded in the zygote; `random` reseeds itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        processes.current_process().authkey = os.urandom(32)


def run_program(program: PythonProgram) -> None:
    """Run it as `__main__`; returns or raises SystemExit, as the program's own process would."""
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=sys.modules["builtins"])
    if sys.version_info < (3, 14):  # since then created lazily
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    try:
        if program.is_module:
            runpy._run_module_as_main(program.target)  # type: ignore[attr-defined]
        else:
            _run_script(program.target, main)
    except SystemExit:
        raise
    except BaseException as error:
        _report_uncaught(error)


def _run_script(path: str, main: ModuleType) -> None:
    loader = SourceFileLoader("__main__", path)
    main.__dict__.update(__file__=path, __cached__=None, __loader__=loader)
    code = compile(loader.get_data(path), path, "exec", dont_inherit=True)
    exec(code, main.__dict__)


def _report_uncaught(error: BaseException) -> None:
    """Report an uncaught exception as the interpreter does, without argosy's frames."""
    traceback = _strip_own_frames(error.__traceback__)
    error.with_traceback(traceback)  # the default hook reads it first
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, traceback
    sys.excepthook(type(error), error, traceback)
    if isinstance(error, KeyboardInterrupt):
        # The interpreter itself must see this one: it ends the process with the signal.
        sys.excepthook = lambda *_: None
        raise error
    sys.exit(1)


def _strip_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback
