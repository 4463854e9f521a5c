"""What a code object does, as bytes that do not depend on names, constants and the compiler's caches.

Names are there by the order in which they come, jumps by the instruction that they lead to. Whether the
compiler calls `log.info` as a method or as a function of a module is left out: it depends on whether the
module binds `log` by an import.
"""

from __future__ import annotations

import dis
import re
from itertools import accumulate, compress
from typing import NamedTuple

# Those above 255 are the compiler's own: no code object has them.
_OPS = {name: code for name, code in dis.opmap.items() if code < 256}
_EXTENDED = _OPS["EXTENDED_ARG"]
_CACHE = _OPS.get("CACHE", -1)
_SILENT = ("CACHE", "PUSH_NULL", "EXTENDED_ARG", "NOP", "NOT_TAKEN")
_DROPPED = bytes(code for name, code in _OPS.items() if name in _SILENT)
_KEPT = bytes(code not in _DROPPED for code in range(256))
_JUMPS = (frozenset(dis.hasjrel) | frozenset(dis.hasjabs)) & frozenset(_OPS.values())
_BACKWARD = frozenset(code for name, code in _OPS.items() if "BACKWARD" in name)
# CALL_INTRINSIC is of the interpreter itself: each coroutine has one since 3.12.
_CALLS = frozenset(code for name, code in _OPS.items() if name.startswith("CALL") and "INTRINSIC" not in name)

# Since 3.12 a flag in its argument tells LOAD_ATTR that it loads a method.
_METHOD = _OPS.get("LOAD_METHOD")
# Since 3.14 a small number is in the argument itself, a large one among the constants.
_ALIKE = {_METHOD: _OPS["LOAD_ATTR"], _OPS.get("LOAD_SMALL_INT"): _OPS["LOAD_CONST"]}
_SAME = bytes(_ALIKE.get(code, code) for code in range(256))
_FLAGGED = {_OPS["LOAD_GLOBAL"], *([_OPS["LOAD_ATTR"]] if _METHOD is None else [])}
_CONSTANT = ("LOAD_CONST", "RETURN_CONST", "KW_NAMES")
_CONSTANTS = _JUMPS.union(code for name, code in _OPS.items() if name in _CONSTANT)


def _any_of(codes: frozenset[int]) -> re.Pattern[bytes]:
    return re.compile(b"[" + b"".join(re.escape(bytes([code])) for code in sorted(codes)) + b"]", re.DOTALL)


_IS_JUMP = _any_of(_JUMPS)
# What of an argument counts, by operation: which constant, and where a jump leads by its number, does not.
_MASKS = bytes(0 if code in _CONSTANTS else 0xFE if code in _FLAGGED else 0xFF for code in range(256))
_ACTS = _any_of(_CALLS | _JUMPS)


class Form(NamedTuple):
    """shape: equal for what does the same. acts: it calls something or branches."""

    shape: bytes
    acts: bool


def normal_form(code: bytes) -> Form:
    """Return the form of a `co_code`."""
    operations, arguments = code[::2], code[1::2]
    kept = operations.translate(_KEPT)
    targets: list[int] = []
    if jumps := [match.start() for match in _IS_JUMP.finditer(operations)]:
        places = list(accumulate(kept))
        targets = [_target(operations, arguments, places, at) for at in jumps]
    plain = operations.translate(_SAME, _DROPPED)
    # As one number each, all are masked at once.
    names = int.from_bytes(bytes(compress(arguments, kept)), "little")
    names &= int.from_bytes(plain.translate(_MASKS), "little")
    shape = plain + names.to_bytes(len(plain), "little") + repr(targets).encode()
    return Form(shape, _ACTS.search(plain) is not None)


def _target(operations: bytes, arguments: bytes, places: list[int], at: int) -> int:
    """Return which of the kept instructions a jump leads to."""
    argument, shift, before = arguments[at], 8, at - 1
    while before >= 0 and operations[before] == _EXTENDED:
        argument |= arguments[before] << shift
        shift, before = shift + 8, before - 1
    after = at + 1
    while after < len(operations) and operations[after] == _CACHE:
        after += 1
    target = after - argument if operations[at] in _BACKWARD else after + argument
    return places[min(max(target - 1, 0), len(places) - 1)]
