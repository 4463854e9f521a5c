"""Send a text to the fleet; show its answer and the agents that took part.

    python examples/mainpc-pc2/ask.py "good morning, what is the time"

Without ENV_TYPE it uses the `testing` environment, in which the fleet is on this machine.
"""

# ruff: noqa: T201 - a command-line program
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from argosy.fault import ArgosyError
from argosy.fleet import address, load_fleet
from argosy.wire import RemoteError, WireError, connect

FIRST = "AudioCapture"
FLEET = Path(__file__).with_name("fleet.yaml")
TIMEOUT_S = 8.0


def main(words: list[str]) -> int:
    """Send one text; return the exit code: 0 answered, 1 not answered, 2 wrong arguments or environment."""
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        url = address(load_fleet(FLEET), FIRST, os.environ.get("ENV_TYPE") or "testing")
    except ArgosyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    try:
        with connect(url, timeout=TIMEOUT_S) as microphone:
            reply = microphone.call("say", text=" ".join(words))
    except RemoteError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    except WireError as error:
        print(f"error: `{FIRST}` at {url} did not answer: {error.reason}", file=sys.stderr)
        print(f"hint: `argosy status {FLEET.parent}`", file=sys.stderr)
        return 1
    show(reply["value"], reply["hops"])
    return 0


def show(spoken: dict[str, Any], hops: list[dict[str, Any]]) -> None:
    """Print an answer and its hops."""
    agents = {hop["agent"] for hop in hops}
    traces = {hop["trace"] for hop in hops}
    understood = ", ".join([spoken["language"], *spoken["intents"], spoken["feeling"]])
    print(f"heard  {spoken['heard']} ({understood})")
    print(f"said   {spoken['said']} ({spoken['speech']['ms']:.0f} ms of voice)")
    print(f"trace  {', '.join(traces)}: {len(hops)} hops, {len(agents)} agents, {hops[0]['ms']:.1f} ms")
    for hop in hops:
        print(f"{hop['ms']:9.1f} ms  {hop['agent']}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
