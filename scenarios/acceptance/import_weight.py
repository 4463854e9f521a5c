"""Measures the time and modules that argosy's imports add to a bare interpreter, medians of nine rounds.

`agent_share` is the time of the import as a share of the bare interpreter's start, the median of all rounds.
Both run in the same second, so the load of the machine affects both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

ROUNDS = 9
PROGRAMS = {
    "bare": "pass",
    "wire": "import zmq, msgspec",
    "agent": "import argosy.agent",
    "argosy": "import argosy",
}
COUNT = "; import sys; print(len(sys.modules))"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    modules = {}
    for _ in range(ROUNDS):
        for name, program in PROGRAMS.items():
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", program + COUNT], capture_output=True, text=True, check=True
            )
            times[name].append((time.perf_counter() - began) * 1000)
            modules[name] = int(done.stdout)
    bare = statistics.median(times["bare"])
    result = {f"{name}_ms": round(statistics.median(each) - bare, 1) for name, each in times.items()}
    shares = [(agent - alone) / alone for agent, alone in zip(times["agent"], times["bare"], strict=True)]
    result["agent_share"] = round(statistics.median(shares), 3)
    result |= {f"{name}_modules": count - modules["bare"] for name, count in modules.items()}
    if options.json:
        print(json.dumps({"argosy": "light/1", **result}))
    else:
        for name in PROGRAMS:
            more = f"{result[f'{name}_ms']:7.1f} ms and {result[f'{name}_modules']} modules more than bare"
            print(f"{name:<8}{more}")
        print(f"the agent's import takes {result['agent_share']} of the start of a bare interpreter")
    return 0


if __name__ == "__main__":
    sys.exit(main())
