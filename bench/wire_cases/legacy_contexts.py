"""A process with 50 legacy users of a context: each asks for one and opens a socket.

`python -m wire_cases.legacy_contexts`; its threads are counted from outside, and it exits when its standard
input closes.
"""

from __future__ import annotations

import sys
from typing import Final

import zmq

from argosy.wire import context
from wire_cases.load_loops import print_ready

USERS: Final = 50


if __name__ == "__main__":
    contexts = [context() for _ in range(USERS)]
    sockets = [each.socket(zmq.REP) for each in contexts]
    for each in sockets:
        each.bind_to_random_port("tcp://127.0.0.1")
    print_ready()
    sys.stdin.read()
