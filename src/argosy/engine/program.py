"""A Python program in this process, as `python script.py` or `python -m module` would run it.

For a child of a zygote: everything that the program can notice is made as after an exec. What
stays different is told in docs/engine.md: modules that are loaded already, one hash seed for all.
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

from argosy.engine.process import IGNORE, set_action
from argosy.engine.title import show_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

# Runs the class that its first word names.
RUNNER = "argosy.agent"
# Carries the cell whose roll its first word is.
CELL = "argosy.agent.cell"


_kept: dict[str, tuple[str, ModuleSpec, CodeType]] = {}


class Program(NamedTuple):
    """What follows the interpreter on a command line.

    target: a script's path, or a module's name. words: what comes after it.
    """

    is_module: bool
    target: str
    words: tuple[str, ...]

    @property
    def code(self) -> str:
        """What tells programs apart whose code differs: the script, the module, or `module:Class`."""
        return self.words[0] if self.target == RUNNER and self.words else self.target

    def folder(self, cwd: str) -> str:
        """Return what Python puts first on sys.path for it (pathconfig.c, computed before it runs)."""
        return cwd if self.is_module else os.path.dirname(os.path.realpath(self.target))


def parse_command(argv: Sequence[str]) -> Program | None:
    """Return the program of an interpreter's command line; None when there are options or no program."""
    words = tuple(argv[1:])
    if words[:1] == ("-m",):
        return Program(True, words[1], words[2:]) if len(words) > 1 else None
    if not words or words[0].startswith("-"):
        return None
    return Program(False, words[0], words[1:])


def take_over(program: Program, argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Make this process what an exec of `argv` with `env` would have made of it, short of running it.

    Raises ValueError or OSError: a name or value that no environment can hold.
    """
    variables = _take_environment(env)
    shown = [f"argosy: cell {os.path.basename(program.words[0])}"] if program.target == CELL else argv
    if not show_as(shown, variables):
        setproctitle.setproctitle(" ".join(shown))
    sys.orig_argv[:] = argv
    sys.argv[:] = ["-m" if program.is_module else program.target, *program.words]
    if not sys.flags.safe_path:
        sys.path.insert(0, program.folder(os.getcwd()))
    _set_signals()
    _reseed()
    gc.enable()


def _take_environment(env: Mapping[str, str]) -> dict[bytes, bytes]:
    """Make `env` that of this process, in its order; the C library is told of the differences only."""
    # As os.fsencode does, without a call of Python code for each: a child copies every page that it writes.
    how = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    wanted = {name.encode(*how): value.encode(*how) for name, value in env.items()}
    held: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    for name in held.keys() - wanted.keys():
        os.unsetenv(name)
    for name, value in wanted.items():
        if held.get(name) != value:
            os.putenv(name, value)
    held.clear()
    held.update(wanted)
    return wanted


def _set_signals() -> None:
    """Set what Python itself sets at its start; all others are at their default action already."""
    set_action(signal.SIGINT, signal.default_int_handler)
    set_action(signal.SIGPIPE, IGNORE)
    set_action(signal.SIGXFSZ, IGNORE)
    if faulthandler.is_enabled():
        faulthandler.disable()
        faulthandler.enable()


def _reseed() -> None:
    """Give what was seeded in the zygote a seed of its own; `random` does so by itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        processes.current_process().authkey = os.urandom(32)


def run_program(program: Program) -> None:
    """Run it as `__main__`; ends by itself or by SystemExit, as the program's process would."""
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=sys.modules["builtins"])
    if sys.version_info < (3, 14):  # since then found out when they are asked for, unless there are some
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
        _complain(error)


def keep(module: str) -> str:
    """Find the code that `python -m module` runs, for children to run it unsought; return its file."""
    found = _kept[module] = runpy._get_module_details(module)  # type: ignore[attr-defined]
    return str(found[1].origin)


def _run_module(module: str) -> None:
    kept = _kept.get(module)
    if kept is not None:
        look = runpy._get_module_details  # type: ignore[attr-defined]

        def find(*_: object) -> tuple[str, ModuleSpec, CodeType]:
            runpy._get_module_details = look  # type: ignore[attr-defined]
            return kept

        runpy._get_module_details = find  # type: ignore[attr-defined]
    runpy._run_module_as_main(module)  # type: ignore[attr-defined]


def _run_script(path: str, main: ModuleType) -> None:
    loader = SourceFileLoader("__main__", path)
    main.__dict__.update(__file__=path, __cached__=None, __loader__=loader)
    code = compile(loader.get_data(path), path, "exec", dont_inherit=True)
    exec(code, main.__dict__)


def _complain(error: BaseException) -> None:
    """Tell of an exception that nobody caught as the interpreter does, without argosy's frames."""
    traceback = _own_frames_removed(error.__traceback__)
    error.with_traceback(traceback)  # the default hook looks there first
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, traceback
    sys.excepthook(type(error), error, traceback)
    if isinstance(error, KeyboardInterrupt):
        # The interpreter itself must see this one: it ends the process by the signal.
        sys.excepthook = lambda *_: None
        raise error
    sys.exit(1)


def _own_frames_removed(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback
