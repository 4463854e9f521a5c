"""Calls agents of the other machine without a pause, and counts the outcomes.

Run as `python cross_machine_caller.py DEADLINE AGENT...` until its standard input closes. It prints `calling`
when every agent has answered once, and one JSON object at the end. A request is lost if it is neither
answered nor failed with a named error half a second after its deadline.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from argosy.wire import WireError, connect

LATE_S = 0.5
ANSWERED_WITHIN_S = 30.0


def main() -> None:
    """Call each agent from its own thread until standard input closes."""
    deadline_s = float(sys.argv[1])
    counts = {"sent": 0, "answered": 0, "failed_named": 0, "lost": 0}
    lock = threading.Lock()
    is_over = threading.Event()
    answered = {agent: threading.Event() for agent in sys.argv[2:]}

    def call(agent: str) -> None:
        with connect(agent, timeout=deadline_s) as peer:
            while not is_over.is_set():
                began = time.monotonic()
                try:
                    outcome = "answered" if peer.echo(text="a") == "a" else "lost"
                except WireError:
                    outcome = "failed_named"
                    is_over.wait(0.01)
                if time.monotonic() - began > deadline_s + LATE_S:
                    outcome = "lost"
                if outcome == "answered":
                    answered[agent].set()
                with lock:
                    counts["sent"] += 1
                    counts[outcome] += 1

    threads = [threading.Thread(target=call, args=[agent], daemon=True) for agent in answered]
    for thread in threads:
        thread.start()
    for agent, event in answered.items():
        if not event.wait(ANSWERED_WITHIN_S):
            sys.exit(f"`{agent}` has not answered within {ANSWERED_WITHIN_S:.0f} s")
    print("calling", flush=True)
    sys.stdin.read()
    is_over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
