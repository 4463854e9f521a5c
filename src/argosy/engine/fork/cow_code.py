"""Code that runs, laid side by side before a fork.

A call counts a reference to the code that it runs, and so has a child copy the page on which that lies. A
package's code lies among much that never runs; a copy of what does run is made in one go, and lies together.

Only for argosy, the standard library and packages that were looked through: elsewhere somebody may keep a
code object and ask whether it is a function's.
"""

from __future__ import annotations

import gc
import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from types import FrameType

# What a child runs before its program, and no zygote.
_CHILD_MODULES = frozenset(
    f"argosy.engine.{name}"
    for name in ("bootstrap", "forker", "generation", "lease", "process", "program", "title", "zygote")
)


def trace_code(work: Callable[[], object]) -> list[CodeType]:
    """Do `work`, and return the code that it ran, in the order of its first calls."""
    ran: dict[int, CodeType] = {}  # not by the code itself: code of two files may be equal

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            ran.setdefault(id(frame.f_code), frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return list(ran.values())


def compact_code(run_code: list[CodeType], packages: Container[str]) -> None:
    """Give functions of these packages, argosy's and the standard library's copies of the code that ran."""
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
        _ = code.co_code  # made once and kept: it would lie between the copies
    copies: dict[int, CodeType] = {}
    for key, code in hot.items():
        for function in functions.get(key, ()):
            function.__code__ = _copy(code, hot, copies)


def _is_compactable(function: FunctionType, packages: Container[str]) -> bool:
    top = str(function.__module__).partition(".")[0]
    return top == "argosy" or top in packages or top in sys.stdlib_module_names


def _copy(code: CodeType, hot: Container[int], copies: dict[int, CodeType]) -> CodeType:
    """Return the copy of code that is hot, with copies of what is within it; of other code, itself."""
    found = copies.get(id(code))
    if found is None:
        within = [_copy(each, hot, copies) if type(each) is CodeType else each for each in code.co_consts]
        found = copies[id(code)] = code.replace(co_consts=tuple(within)) if id(code) in hot else code
    return found
