"""The init process of a container: forwards signals, reaps orphans and runs the container's agents.

As process 1 it forks before it imports anything else: the small parent forwards signals and reaps orphaned
processes; the child waits for dependencies and has a supervisor run the agents, as outside of containers.

`python -m argosy.image.runtime.container_init [--no-wait] [FLEET_FILE]`; ARGOSY_MACHINE names this container.
With `--no-wait` it does not wait for agents of other containers.
"""

from __future__ import annotations

import os
import signal
import sys

_FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def main() -> int:
    """Run the container; return its exit code."""
    if os.getpid() != 1:
        return _run_child()
    # Blocked until the child has its own handlers: a signal that arrives earlier must not be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED_SIGNALS)
    child = os.fork()
    if child == 0:
        return _run_child()
    return forward_signals_and_reap(child)


def forward_signals_and_reap(child: int) -> int:
    """Forward signals to `child` and reap processes until it ends; return its exit code.

    Signals are blocked on entry: `sigwait` receives them together with SIGCHLD.
    """
    signals = {*_FORWARDED_SIGNALS, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    while True:
        code = _reap_children(child)
        if code is not None:
            return code
        signal_number = signal.sigwait(signals)
        if signal_number != signal.SIGCHLD:
            os.kill(child, signal_number)


def _reap_children(child: int) -> int | None:
    """Reap all processes that have ended; return the exit code of `child` when it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            exit_code = os.waitstatus_to_exitcode(status)
            code = exit_code if exit_code >= 0 else 128 - exit_code


def _run_child() -> int:
    from argosy.image.runtime.container_main import run_container  # noqa: PLC0415 - the parent stays small

    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED_SIGNALS)
    arguments = [argument for argument in sys.argv[1:] if argument != "--no-wait"]
    return run_container(
        arguments[0] if arguments else None, skips_dependencies=len(arguments) < len(sys.argv) - 1
    )


if __name__ == "__main__":
    sys.exit(main())
