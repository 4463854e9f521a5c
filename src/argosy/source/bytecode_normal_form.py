"""Normalizes bytecode to a form that does not depend on names, constants and inline caches.

Names are represented by their order of occurrence, jumps by their target instruction. Whether the compiler
calls `log.info` as a method or as a function of a module is ignored: it depends on whether the module binds
`log` by an import.
"""

from __future__ import annotations

import dis
import re
from itertools import accumulate, compress
from typing import NamedTuple

# Opcodes above 255 are pseudo-instructions, which no code object contains.
_OPCODES = {name: code for name, code in dis.opmap.items() if code < 256}
_EXTENDED = _OPCODES["EXTENDED_ARG"]
_CACHE = _OPCODES.get("CACHE", -1)
_IGNORED_NAMES = ("CACHE", "PUSH_NULL", "EXTENDED_ARG", "NOP", "NOT_TAKEN")
_IGNORED_OPCODES = bytes(code for name, code in _OPCODES.items() if name in _IGNORED_NAMES)
_IS_KEPT = bytes(code not in _IGNORED_OPCODES for code in range(256))
_JUMPS = (frozenset(dis.hasjrel) | frozenset(dis.hasjabs)) & frozenset(_OPCODES.values())
_BACKWARD = frozenset(code for name, code in _OPCODES.items() if "BACKWARD" in name)
# CALL_INTRINSIC is not a call in the source: since 3.12 each coroutine has one.
_CALLS = frozenset(
    code for name, code in _OPCODES.items() if name.startswith("CALL") and "INTRINSIC" not in name
)

# Since 3.12 a flag in the argument of LOAD_ATTR marks the load of a method.
_METHOD = _OPCODES.get("LOAD_METHOD")
# Since 3.14 a small integer is in the argument itself, a large one in the constants.
_EQUIVALENT_OPCODES = {_METHOD: _OPCODES["LOAD_ATTR"], _OPCODES.get("LOAD_SMALL_INT"): _OPCODES["LOAD_CONST"]}
_OPCODE_TRANSLATION = bytes(_EQUIVALENT_OPCODES.get(code, code) for code in range(256))
_FLAGGED_OPCODES = {_OPCODES["LOAD_GLOBAL"], *([_OPCODES["LOAD_ATTR"]] if _METHOD is None else [])}
_CONSTANT_NAMES = ("LOAD_CONST", "RETURN_CONST", "KW_NAMES")
_MASKED_OPCODES = _JUMPS.union(code for name, code in _OPCODES.items() if name in _CONSTANT_NAMES)


def _pattern_of_any(codes: frozenset[int]) -> re.Pattern[bytes]:
    return re.compile(b"[" + b"".join(re.escape(bytes([code])) for code in sorted(codes)) + b"]", re.DOTALL)


_JUMP_PATTERN = _pattern_of_any(_JUMPS)
# The significant bits of an argument, by opcode: constant indexes and jump offsets are ignored.
_ARGUMENT_MASKS = bytes(
    0 if code in _MASKED_OPCODES else 0xFE if code in _FLAGGED_OPCODES else 0xFF for code in range(256)
)
_EFFECT_PATTERN = _pattern_of_any(_CALLS | _JUMPS)


class NormalForm(NamedTuple):
    """shape: equal for equivalent bytecode. has_effects: it has a call or a branch."""

    shape: bytes
    has_effects: bool


def normalize_bytecode(code: bytes) -> NormalForm:
    """Return the normal form of a `co_code`."""
    operations, arguments = code[::2], code[1::2]
    kept = operations.translate(_IS_KEPT)
    targets: list[int] = []
    if jumps := [match.start() for match in _JUMP_PATTERN.finditer(operations)]:
        positions = list(accumulate(kept))
        targets = [_jump_target(operations, arguments, positions, at) for at in jumps]
    plain = operations.translate(_OPCODE_TRANSLATION, _IGNORED_OPCODES)
    # As one large integer, all arguments are masked at once.
    names = int.from_bytes(bytes(compress(arguments, kept)), "little")
    names &= int.from_bytes(plain.translate(_ARGUMENT_MASKS), "little")
    shape = plain + names.to_bytes(len(plain), "little") + repr(targets).encode()
    return NormalForm(shape, _EFFECT_PATTERN.search(plain) is not None)


def _jump_target(operations: bytes, arguments: bytes, positions: list[int], at: int) -> int:
    """Return the index of a jump's target among the kept instructions."""
    argument, shift, before = arguments[at], 8, at - 1
    while before >= 0 and operations[before] == _EXTENDED:
        argument |= arguments[before] << shift
        shift, before = shift + 8, before - 1
    after = at + 1
    while after < len(operations) and operations[after] == _CACHE:
        after += 1
    target = after - argument if operations[at] in _BACKWARD else after + argument
    return positions[min(max(target - 1, 0), len(positions) - 1)]
