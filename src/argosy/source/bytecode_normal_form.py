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
_OPCODES = {name: code for name, code in dis.opmap.items() if code < 256}
_EXTENDED = _OPCODES["EXTENDED_ARG"]
_CACHE = _OPCODES.get("CACHE", -1)
_IGNORED_NAMES = ("CACHE", "PUSH_NULL", "EXTENDED_ARG", "NOP", "NOT_TAKEN")
_IGNORED_OPCODES = bytes(code for name, code in _OPCODES.items() if name in _IGNORED_NAMES)
_IS_KEPT = bytes(code not in _IGNORED_OPCODES for code in range(256))
_JUMPS = (frozenset(dis.hasjrel) | frozenset(dis.hasjabs)) & frozenset(_OPCODES.values())
_BACKWARD = frozenset(code for name, code in _OPCODES.items() if "BACKWARD" in name)
# CALL_INTRINSIC is of the interpreter itself: each coroutine has one since 3.12.
_CALLS = frozenset(
    code for name, code in _OPCODES.items() if name.startswith("CALL") and "INTRINSIC" not in name
)

# Since 3.12 a flag in its argument tells LOAD_ATTR that it loads a method.
_METHOD = _OPCODES.get("LOAD_METHOD")
# Since 3.14 a small number is in the argument itself, a large one among the constants.
_EQUIVALENT_OPCODES = {_METHOD: _OPCODES["LOAD_ATTR"], _OPCODES.get("LOAD_SMALL_INT"): _OPCODES["LOAD_CONST"]}
_OPCODE_TRANSLATION = bytes(_EQUIVALENT_OPCODES.get(code, code) for code in range(256))
_FLAGGED_OPCODES = {_OPCODES["LOAD_GLOBAL"], *([_OPCODES["LOAD_ATTR"]] if _METHOD is None else [])}
_CONSTANT_NAMES = ("LOAD_CONST", "RETURN_CONST", "KW_NAMES")
_MASKED_OPCODES = _JUMPS.union(code for name, code in _OPCODES.items() if name in _CONSTANT_NAMES)


def _pattern_of_any(codes: frozenset[int]) -> re.Pattern[bytes]:
    return re.compile(b"[" + b"".join(re.escape(bytes([code])) for code in sorted(codes)) + b"]", re.DOTALL)


_JUMP_PATTERN = _pattern_of_any(_JUMPS)
# What of an argument counts, by operation: which constant, and where a jump leads by its number, does not.
_ARGUMENT_MASKS = bytes(
    0 if code in _MASKED_OPCODES else 0xFE if code in _FLAGGED_OPCODES else 0xFF for code in range(256)
)
_EFFECT_PATTERN = _pattern_of_any(_CALLS | _JUMPS)


class NormalForm(NamedTuple):
    """shape: equal for what does the same. acts: it calls something or branches."""

    shape: bytes
    has_effects: bool


def normalize_bytecode(code: bytes) -> NormalForm:
    """Return the form of a `co_code`."""
    operations, arguments = code[::2], code[1::2]
    kept = operations.translate(_IS_KEPT)
    targets: list[int] = []
    if jumps := [match.start() for match in _JUMP_PATTERN.finditer(operations)]:
        places = list(accumulate(kept))
        targets = [_jump_target(operations, arguments, places, at) for at in jumps]
    plain = operations.translate(_OPCODE_TRANSLATION, _IGNORED_OPCODES)
    # As one number each, all are masked at once.
    names = int.from_bytes(bytes(compress(arguments, kept)), "little")
    names &= int.from_bytes(plain.translate(_ARGUMENT_MASKS), "little")
    shape = plain + names.to_bytes(len(plain), "little") + repr(targets).encode()
    return NormalForm(shape, _EFFECT_PATTERN.search(plain) is not None)


def _jump_target(operations: bytes, arguments: bytes, places: list[int], at: int) -> int:
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
