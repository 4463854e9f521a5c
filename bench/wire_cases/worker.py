"""A process of the bench: `python -m wire_cases.worker serve|call MODULE FOLDER`.

A caller takes orders on its standard input, a line of JSON each, and answers each with a line.
"""

from __future__ import annotations

import importlib
import sys
import time

import msgspec

from wire_cases.load_loops import LoadFunction, Tally


class WorkOrder(msgspec.Struct, frozen=True):
    """What a caller is to do, for how long."""

    load: str
    seconds: float


class WorkResult(msgspec.Struct, frozen=True):
    """What a caller did; processor_s: what that took of its own process."""

    tally: Tally
    processor_s: float


_read_order = msgspec.json.Decoder(WorkOrder).decode


def run_orders(load_functions: dict[str, LoadFunction]) -> None:
    """Carry out one order after the other, until there are no more."""
    for line in sys.stdin.buffer:
        order = _read_order(line)
        began_s = time.process_time()
        tally = load_functions[order.load](order.seconds)
        done = WorkResult(tally, time.process_time() - began_s)
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    role, name, where = sys.argv[1:4]
    module = importlib.import_module(f"wire_cases.{name}")
    if role == "serve":
        module.serve(where)
    else:
        run_orders(module.load_functions(where))
