"""A process of the wire bench: `python -m wire_cases.worker serve|call MODULE FOLDER`.

A caller reads orders from its standard input, one line of JSON each, and answers each with a line.
"""

from __future__ import annotations

import importlib
import sys
import time

import msgspec

from wire_cases.load_loops import LoadFunction, Tally


class WorkOrder(msgspec.Struct, frozen=True):
    """The load function that a caller runs, and for how long."""

    load: str
    seconds: float


class WorkResult(msgspec.Struct, frozen=True):
    """The result of an order. processor_s: the processor time of the caller's process."""

    tally: Tally
    processor_s: float


_read_order = msgspec.json.Decoder(WorkOrder).decode


def run_orders(load_functions: dict[str, LoadFunction]) -> None:
    """Run orders until the input closes."""
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
