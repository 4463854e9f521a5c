"""Calls agents of the other machine without a pause, and accounts for every request.

Run as `python calls.py DEADLINE AGENT...` where the fleet runs, until its input ends; prints one JSON
object then. A request that neither was answered nor failed by name before its deadline (and half a second) is
lost.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from argosy.wire import WireError, connect

LATE_S = 0.5


def main() -> None:
    """Call each agent from a thread of its own until standard input ends."""
    deadline_s = float(sys.argv[1])
    counts = {"sent": 0, "answered": 0, "failed_named": 0, "lost": 0}
    lock = threading.Lock()
    is_over = threading.Event()

    def call(agent: str) -> None:
        with connect(agent, timeout=deadline_s) as peer:
            while not is_over.is_set():
                began = time.monotonic()
                try:
                    outcome = "answered" if peer.say(text="a") == "a" else "lost"
                except WireError:
                    outcome = "failed_named"
                    is_over.wait(0.01)
                if time.monotonic() - began > deadline_s + LATE_S:
                    outcome = "lost"
                with lock:
                    counts["sent"] += 1
                    counts[outcome] += 1

    threads = [threading.Thread(target=call, args=[agent]) for agent in sys.argv[2:]]
    for thread in threads:
        thread.start()
    print("calling", flush=True)
    sys.stdin.read()
    is_over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
