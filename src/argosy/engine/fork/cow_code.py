"""Moves the code that agents run to contiguous pages before a fork.

A call counts a reference to the code object, so a child copies the page that holds it. A package's code lies
scattered among code that never runs; copies of the code that runs are made in one go and lie together.

Only for argosy, the standard library and reviewed packages: other code may keep a code object and compare it
with a function's.
"""

from __future__ import annotations

import gc
import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from types import FrameType

# A child runs them before its program; the warm-up run does not cover them.
_CHILD_MODULES = frozenset(
    f"argosy.engine.{name}"
    for name in (
        *("fork.child_setup", "fork.forker", "fork.python_program", "fork.zygote"),
        *("process.lease", "process.os_process", "process.proctitle", "state.generation"),
    )
)


def trace_code(work: Callable[[], object]) -> list[CodeType]:
    """Call `work`, and return the code that it ran, in the order of the first calls."""
    ran: dict[int, CodeType] = {}  # keyed by id: code objects of two files may be equal

    def record(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            ran.setdefault(id(frame.f_code), frame.f_code)

    before = sys.getprofile()
    sys.setprofile(record)
    try:
        work()
    finally:
        sys.setprofile(before)
    return list(ran.values())


def compact_code(run_code: list[CodeType], packages: Container[str]) -> None:
    """Replace the code that ran by copies, in functions of argosy, the standard library and `packages`."""
    hot = {id(code): code for code in run_code}
    functions: dict[int, list[FunctionType]] = {}
    for each in gc.get_objects():
        if type(each) is FunctionType:
            code = each.__code__
            if str(each.__module__) in _CHILD_MODULES:
                hot.setdefault(id(code), code)
            if id(code) in hot and _is_compactable(each, packages):
                functions.setdefault(id(code), []).append(each)
    for code in hot.values():
        _ = code.co_code  # cached on first use: it would be allocated between the copies
    copies: dict[int, CodeType] = {}
    for key, code in hot.items():
        for function in functions.get(key, ()):
            function.__code__ = _copy(code, hot, copies)


def _is_compactable(function: FunctionType, packages: Container[str]) -> bool:
    top = str(function.__module__).partition(".")[0]
    return top == "argosy" or top in packages or top in sys.stdlib_module_names


def _copy(code: CodeType, hot: Container[int], copies: dict[int, CodeType]) -> CodeType:
    """Return a copy of code that is in `hot`, with copies of its nested code; other code unchanged."""
    found = copies.get(id(code))
    if found is None:
        consts = [_copy(each, hot, copies) if type(each) is CodeType else each for each in code.co_consts]
        found = copies[id(code)] = code.replace(co_consts=tuple(consts)) if id(code) in hot else code
    return found
