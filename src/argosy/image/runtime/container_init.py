"""What runs first in a container: reaps what is left, waits for needs, runs the agents, ends in order.

As process 1 it forks before it loads anything: the small parent hands signals on and takes in every process
that lost its own parent; the child does the work. The agents are run by a supervisor as anywhere else.

`python -m argosy.image.runtime.container_init [--alone] [FLEET_FILE]`; ARGOSY_MACHINE says which container this is. With
`--alone` it waits for nobody.
"""

from __future__ import annotations

import os
import signal
import sys

_FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def main() -> int:
    """Run the container; returns its exit code."""
    if os.getpid() != 1:
        return _run_child()
    # What comes before the child has its own handlers must not kill it unheard.
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED_SIGNALS)
    child = os.fork()
    if child == 0:
        return _run_child()
    return forward_signals_and_reap(child)


def forward_signals_and_reap(child: int) -> int:
    """Hand signals to `child` and reap everything until it ends; return the exit code that it had.

    Signals are blocked on entry: they are waited for, together with the ends of processes.
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
    """Take in all that have ended; return the code of `child` when it is among them."""
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
    arguments = [word for word in sys.argv[1:] if word != "--alone"]
    return run_container(
        arguments[0] if arguments else None, skips_dependencies=len(arguments) < len(sys.argv) - 1
    )


if __name__ == "__main__":
    sys.exit(main())
