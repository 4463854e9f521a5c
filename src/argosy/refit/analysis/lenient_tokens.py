"""Tokens of Python source that need not be sound: every character is in a token, nothing raises.

Python's own tokenizer stops at the first fault; what looks at damage has to see past it. A string
that does not end, ends with its line (a triple-quoted one with the file); a character that no token
begins with is a token of its own.
"""

from __future__ import annotations

import functools
import keyword
import re
from typing import Literal

import msgspec

TokenKind = Literal[
    "name", "keyword", "number", "string", "open", "operator", "comment", "newline", "space", "odd"
]

# Brackets are of kind "operator"; "open" is a string without an end. A "word" is a name, as most are, that
# has no quote behind it, and so is looked for before what may begin a string.
_PATTERN = re.compile(
    r"""
    (?P<space>(?:[ \t\f]|\\(?:\r\n|\r|\n))+)
  | (?P<newline>\r\n|\r|\n)
  | (?P<comment>\#[^\r\n]*)
  | (?P<word>[^\W\d]\w*+(?!["']))
  | (?P<string>(?:[bft]?r|r[bft]|[bftu])?(?:
        \"\"\"(?:[^\\"]++|\\.|\"(?!\"\"))*+\"\"\"
      | '''(?:[^\\']++|\\.|'(?!''))*+'''
      | \"(?!\"\")(?:[^\\"\r\n]++|\\(?:\r\n|.))*+\"
      | '(?!'')(?:[^\\'\r\n]++|\\(?:\r\n|.))*+'
    ))
  | (?P<open>(?:[bft]?r|r[bft]|[bftu])?(?:\"\"\".*|'''.*|\"[^\r\n]*|'[^\r\n]*))
  | (?P<number>\.?[0-9](?:e[-+][0-9]|[\w.])*)
  | (?P<name>\w+)
  | (?P<operator>->|:=|\.\.\.|\*\*=?|//=?|>>=?|<<=?|[-+*/%&|^=<>!@]=|[-+*/%&|^=<>@~.,:;()\[\]{}])
  | (?P<odd>.)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

_KEYWORDS = frozenset(keyword.kwlist)
_LINE_END = re.compile(r"\r\n|\r|\n")
# What may hold a line end.
_MULTILINE_KINDS = frozenset({"newline", "string", "open", "space"})


class Token(msgspec.Struct, frozen=True):
    """One token. start, end: offsets into the text, in characters. line: counted from 1; column: from 0."""

    kind: TokenKind
    text: str
    start: int
    line: int
    column: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def is_code(self) -> bool:
        """Return whether a statement may consist of this; space, line ends and comments are none."""
        return self.kind not in ("space", "newline", "comment")


# A proof looks at the two texts of a step, and the next step begins with the second of them.
@functools.lru_cache(maxsize=8)
def tokenize_leniently(text: str) -> tuple[Token, ...]:
    """Return the tokens of `text`, which they cover without a gap."""
    found: list[Token] = []
    line, line_start = 1, 0
    for match in _PATTERN.finditer(text):
        kind, value, start = match.lastgroup, match[0], match.start()
        if kind == "word" or kind == "name":
            kind = "keyword" if value in _KEYWORDS else "name"
        found.append(Token(kind, value, start, line, start - line_start))  # type: ignore[arg-type]
        if kind in _MULTILINE_KINDS and ("\n" in value or "\r" in value):
            ends = list(_LINE_END.finditer(value))
            line, line_start = line + len(ends), start + ends[-1].end()
    return tuple(found)
