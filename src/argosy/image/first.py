"""What runs first in a container: reaps what is left, waits for needs, runs the agents, ends in order.

As process 1 it forks before it loads anything: the small parent hands signals on and takes in every process
that lost its own parent; the child does the work. The agents are run by a supervisor as anywhere else.

`python -m argosy.image.first [--alone] [FLEET_FILE]`; ARGOSY_MACHINE says which container this is. With
`--alone` it waits for nobody.
"""

from __future__ import annotations

import os
import signal
import sys

_HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def main() -> int:
    """Run the container; returns its exit code."""
    if os.getpid() != 1:
        return _work()
    # What comes before the child has its own handlers must not kill it unheard.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)
    child = os.fork()
    if child == 0:
        return _work()
    return watch_over(child)


def watch_over(child: int) -> int:
    """Hand signals to `child` and reap everything until it ends; return the exit code that it had.

    Signals are blocked on entry: they are waited for, together with the ends of processes.
    """
    waited_for = {*_HANDED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    while True:
        code = _reap(child)
        if code is not None:
            return code
        number = signal.sigwait(waited_for)
        if number != signal.SIGCHLD:
            os.kill(child, number)


def _reap(child: int) -> int | None:
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
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


def _work() -> int:
    from argosy.image.container import run_container  # noqa: PLC0415 - the parent stays small

    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDED_ON)
    words = [word for word in sys.argv[1:] if word != "--alone"]
    return run_container(words[0] if words else None, is_alone=len(words) < len(sys.argv) - 1)


if __name__ == "__main__":
    sys.exit(main())
