"""A lenient tokenizer for malformed Python source: every character is in a token, nothing raises.

Python's own tokenizer stops at the first error, but the analysis of damage must see past it. An unterminated
string ends with its line (a triple-quoted one with the file); a character that begins no token is a token of
its own.
"""

from __future__ import annotations

import functools
import keyword
import re
from typing import Literal

import msgspec

TokenKind = Literal[
    "name", "keyword", "number", "string", "open_string", "operator", "comment", "newline", "space", "unknown"
]

# Brackets are of kind "operator"; "open_string" is a string without an end. A "word" is a name, as most are,
# without a quote after it, and so is tried before the patterns for strings.
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
  | (?P<open_string>(?:[bft]?r|r[bft]|[bftu])?(?:\"\"\".*|'''.*|\"[^\r\n]*|'[^\r\n]*))
  | (?P<number>\.?[0-9](?:e[-+][0-9]|[\w.])*)
  | (?P<name>\w+)
  | (?P<operator>->|:=|\.\.\.|\*\*=?|//=?|>>=?|<<=?|[-+*/%&|^=<>!@]=|[-+*/%&|^=<>@~.,:;()\[\]{}])
  | (?P<unknown>.)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

_KEYWORDS = frozenset(keyword.kwlist)
_LINE_END = re.compile(r"\r\n|\r|\n")
# Kinds of tokens that may contain line ends.
_MULTILINE_KINDS = frozenset({"newline", "string", "open_string", "space"})


class Token(msgspec.Struct, frozen=True):
    """One token. start, end: offsets into the text, in characters. line: from 1. column: from 0."""

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
        """Return whether a statement may consist of this; space, line ends and comments are excluded."""
        return self.kind not in ("space", "newline", "comment")


# A check reads the two texts of a step, and the next step begins with the second of them.
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
