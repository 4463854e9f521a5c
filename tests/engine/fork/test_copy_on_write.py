"""Copy-on-write layout of a zygote: new objects are adjacent, and functions get equivalent code copies."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import traceback
from types import CodeType, FunctionType, ModuleType

from argosy.engine.fork.copy_on_write import compact_code, trace_code

# In a process of its own: the heap of one that has run tests has more holes than are made here.
PROGRAM = """
from itertools import pairwise
from argosy.engine.fork.copy_on_write import fill_heap_holes

SIZE = {size}  # of a block; an object of `bytes` has 33 of them for itself
made = [bytes(SIZE - 33) for _ in range(4000)]
kept = made[::2]
del made  # every second block is a hole
fillings = fill_heap_holes()
blocks = [bytes(SIZE - 33) for _ in range(40)]
gaps = sum(not 0 <= id(after) - id(before) - SIZE <= {beside} for before, after in pairwise(blocks))
print(gaps, len(fillings) - len(kept))
"""


def fill(size: int, beside: int) -> tuple[int, int]:
    program = PROGRAM.format(size=size, beside=beside)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    gaps, more = map(int, done.stdout.split())
    return gaps, more


def test_small_objects_are_adjacent_after_hole_filling() -> None:
    gaps, more = fill(size=64, beside=0)
    assert gaps < 8, "the list itself takes some as it grows"
    assert more > -100


def test_large_objects_are_adjacent_after_hole_filling() -> None:
    gaps, _ = fill(size=1600, beside=16)
    assert gaps < 8


SOURCE = """
def total(values, *, start=0):
    def double(value):
        return 2 * value
    return start + sum(double(value) for value in values)

def adder(by):
    def add(value):
        return value + by
    return add

def unused(value):
    return value

def fails():
    raise LookupError("within")
"""


def module_of(name: str) -> ModuleType:
    """Return a module of two files that have the same line for line."""
    module = ModuleType(name)
    exec(compile(textwrap.dedent(SOURCE), f"{name}.py", "exec"), module.__dict__)
    return module


def code_of(module: ModuleType, name: str) -> CodeType:
    function = getattr(module, name)
    assert isinstance(function, FunctionType)
    return function.__code__


def test_compact_code_copies_only_traced_functions_of_known_packages() -> None:
    known, strange = module_of("known"), module_of("strange")
    add = known.adder(1)
    names = ("total", "adder", "unused", "fails")
    before = {name: (code_of(known, name), code_of(strange, name)) for name in names}

    def work() -> None:
        for module in (known, strange):
            module.total([1, 2], start=3)
            module.adder(2)(3)
        add(1)

    ran = trace_code(work)
    assert before["total"][0].co_name in {code.co_name for code in ran}
    compact_code(ran, {"known"})

    moved = {name for name in names if code_of(known, name) is not before[name][0]}
    assert moved == {"total", "adder"}
    assert all(code_of(strange, name) is before[name][1] for name in names)
    assert (known.total([1, 2], start=3), known.adder(2)(3), add(1)) == (9, 5, 2)
    for name in moved:
        copy = code_of(known, name)
        assert copy == before[name][0]
        assert (copy.co_filename, copy.co_qualname) == ("known.py", name)


def test_compact_code_keeps_tracebacks() -> None:
    known = module_of("known")

    def lines() -> list[str]:
        try:
            known.fails()
        except LookupError as error:
            return traceback.format_exception(error)[2:]
        return []

    before = lines()
    compact_code(trace_code(lines), {"known"})
    assert lines() == before
    assert "known.py" in before[0]


def test_trace_code_keeps_existing_profiler() -> None:
    seen: list[str] = []

    def look(frame: object, event: str, _: object) -> None:
        seen.append(event)

    kept = sys.getprofile()
    sys.setprofile(look)
    try:
        trace_code(lambda: None)
        assert sys.getprofile() is look
    finally:
        sys.setprofile(kept)
