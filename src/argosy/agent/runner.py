"""An agent's process: from its command line to its exit code."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from argosy.agent.agent import Agent
from argosy.agent.agent_runtime import AgentRuntime
from argosy.agent.notifier import Notifier
from argosy.agent.options import parse_options
from argosy.agent.settings import read_settings
from argosy.fault import ArgosyError, Fault, InputError
from argosy.wire.zmq_context.context_handle import terminate_shared


def run(cls: type[Agent], argv: Sequence[str] | None = None) -> NoReturn:
    """Run an agent as this process's program; for `if __name__ == "__main__"`.

    argv: its options, default those of the command line. Exits 0 after an ordered stop, 1 when
    it cannot start, 2 when an option or a variable is wrong.
    """
    exit_process(run_agent(cls, sys.argv[1:] if argv is None else argv))


def run_agent(cls: type[Agent], argv: Sequence[str]) -> int:
    """Run an agent until it is told to stop, and return its exit code."""
    try:
        options, port = parse_options(cls.Options, argv)
        settings = read_settings(cls.__name__, port=port)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            # Not `runner.run`: it would handle SIGINT for a moment, until the agent does.
            return runner.get_loop().run_until_complete(AgentRuntime(cls, settings, options).run())
    except ArgosyError as error:
        return report_startup_error(error)
    finally:
        terminate_shared()


def run_target(argv: Sequence[str]) -> NoReturn:
    """Run `MODULE:CLASS [ARGS...]`, an Agent or a BaseAgent."""
    # A module that reads the command line while it is imported sees the agent's arguments, as in a script.
    sys.argv[1:] = argv[1:]
    try:
        cls = load_class(argv[0] if argv else "")
        if not issubclass(cls, Agent):
            sys.exit(importlib.import_module("argosy.agent.legacy.class_runner").run_legacy(cls))
    except ArgosyError as error:
        sys.exit(report_startup_error(error))
    except SyntaxError as error:
        _notify_permanent_failure(describe_syntax_error(error))
        raise
    run(cls, argv[1:])


def load_class(target: str) -> type[Any]:
    """Import the class that `module:Class` names: an Agent, or a BaseAgent of `argosy.agent.compat`.

    Raises InputError when there is none.
    """
    module_name, _, class_name = target.partition(":")
    if not module_name or not class_name:
        message = f"`{target}` names no agent; expected `module:Class`"
        raise InputError(
            Fault("agent", "bad-target", message, "python -m argosy.agent agents.translator:Translator")
        )
    cls = getattr(importlib.import_module(module_name), class_name, None)
    if not (isinstance(cls, type) and issubclass(cls, _agent_bases())):
        what, hint = ("is not there", "")
        if cls is not None:
            what = "is neither an `Agent` nor a `BaseAgent` of `argosy.agent.compat`"
            hint = f"derive it from one, or name its script: `run: {module_name.replace('.', '/')}.py`"
        raise InputError(Fault(module_name, "no-class", f"`{class_name}` of `{module_name}` {what}", hint))
    return cls


def _agent_bases() -> tuple[type, ...]:
    # A module with a subclass of BaseAgent has imported it; other agents do not load it.
    legacy = sys.modules.get("argosy.agent.legacy.base_agent")
    return (Agent, legacy.BaseAgent) if legacy else (Agent,)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where it is installed, else asyncio's own."""
    if os.environ.get("ARGOSY_LOOP") == "asyncio":
        return None
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory


def report_startup_error(error: ArgosyError) -> int:
    """Write the error; if the input is wrong, tell the supervisor that a retry would end alike."""
    if error.exit_code == InputError.exit_code:
        _notify_permanent_failure(_describe_fault(error.faults[0]))
    return print_faults(error)


def describe_syntax_error(error: SyntaxError) -> str:
    """Return where a file does not parse, and why."""
    location = os.path.relpath(error.filename) if error.filename else "its code"
    return f"{location}:{error.lineno or 1}:{error.offset or 1}: does not parse: {error.msg}"


def _notify_permanent_failure(reason: str) -> None:
    notifier = Notifier(os.environ.get("NOTIFY_SOCKET", ""))
    notifier.send_permanent_failure(reason)
    notifier.close()


def _describe_fault(fault: Fault) -> str:
    where = f"{fault.where}: " if fault.where and fault.where not in fault.message else ""
    return where + fault.message


def print_faults(error: ArgosyError) -> int:
    """Write the faults to standard error; return the exit code."""
    for fault in error.faults:
        sys.stderr.write(
            f"error: {_describe_fault(fault)}\n" + (f"hint: {fault.hint}\n" if fault.hint else "")
        )
    return error.exit_code


def exit_process(code: int) -> NoReturn:
    """Exit the process, even if a handler still blocks a thread."""
    threads = [t for t in sys.modules["threading"].enumerate() if t.name.startswith("argosy_")]
    if threads:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
