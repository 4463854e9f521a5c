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
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, NamedTuple

import setproctitle

from argosy.engine.process.os_process import IGNORE_ACTION, set_signal_action
from argosy.engine.process.proctitle import set_process_title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

# Runs the class named by its first argument.
RUNNER_MODULE = "argosy.agent"
# Hosts the cell whose manifest is its first argument.
CELL_MODULE = "argosy.agent.cell_host"


_cached_modules: dict[str, tuple[str, ModuleSpec, CodeType]] = {}


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
    variables = _replace_environment(env)
    shown_argv = (
        [f"argosy: cell {os.path.basename(program.arguments[0])}"] if program.target == CELL_MODULE else argv
    )
    if not set_process_title(shown_argv, variables):
        setproctitle.setproctitle(" ".join(shown_argv))
    sys.orig_argv[:] = argv
    sys.argv[:] = ["-m" if program.is_module else program.target, *program.arguments]
    if not sys.flags.safe_path:
        sys.path.insert(0, program.sys_path_dir(os.getcwd()))
    _set_signals()
    _reseed()
    gc.enable()


def _replace_environment(env: Mapping[str, str]) -> dict[bytes, bytes]:
    """Make `env` the environment of this process, in its order; calls putenv for differences only."""
    # As os.fsencode, without Python calls for each variable: a child copies every page that it writes to.
    encoding = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    wanted = {name.encode(*encoding): value.encode(*encoding) for name, value in env.items()}
    current: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    for name in current.keys() - wanted.keys():
        os.unsetenv(name)
    for name, value in wanted.items():
        if current.get(name) != value:
            os.putenv(name, value)
    current.clear()
    current.update(wanted)
    return wanted


def _set_signals() -> None:
    """Set the signal actions that Python sets at its start; all others have their default already."""
    set_signal_action(signal.SIGINT, signal.default_int_handler)
    set_signal_action(signal.SIGPIPE, IGNORE_ACTION)
    set_signal_action(signal.SIGXFSZ, IGNORE_ACTION)
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
            _run_module(program.target)
        else:
            _run_script(program.target, main)
    except SystemExit:
        raise
    except BaseException as error:
        _report_uncaught(error)


def cache_module(module: str) -> str:
    """Find the code that `python -m module` runs, so that children need not search; return its file."""
    details = _cached_modules[module] = runpy._get_module_details(module)  # type: ignore[attr-defined]
    return str(details[1].origin)


def _run_module(module: str) -> None:
    cached = _cached_modules.get(module)
    if cached is not None:
        original = runpy._get_module_details  # type: ignore[attr-defined]

        def find(*_: object) -> tuple[str, ModuleSpec, CodeType]:
            runpy._get_module_details = original  # type: ignore[attr-defined]
            return cached

        runpy._get_module_details = find  # type: ignore[attr-defined]
    runpy._run_module_as_main(module)  # type: ignore[attr-defined]


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
