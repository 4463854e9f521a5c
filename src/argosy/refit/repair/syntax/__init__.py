"""The rules, each a file: a kind of damage and its cure. The order is the order in which they are tried."""

from __future__ import annotations

from typing import Final

from argosy.refit.repair.candidate import SyntaxRule
from argosy.refit.repair.syntax import (
    dangling_attribute,
    doubled_prefix,
    empty_block,
    extra_bracket,
    fstring_quote,
    glued,
    inside_brackets,
    left_lines,
    moved_header,
    second_bases,
    split_statement,
    stranded_method,
    stray_handler,
    torn_call,
    torn_string,
)

RULES: Final[dict[str, SyntaxRule]] = {
    torn_call.NAME: torn_call.propose,
    extra_bracket.NAME: extra_bracket.propose,
    glued.NAME: glued.propose,
    left_lines.NAME: left_lines.propose,
    stray_handler.NAME: stray_handler.propose,
    moved_header.NAME: moved_header.propose,
    empty_block.NAME: empty_block.propose,
    inside_brackets.NAME: inside_brackets.propose,
    second_bases.NAME: second_bases.propose,
    torn_string.NAME: torn_string.propose,
    fstring_quote.NAME: fstring_quote.propose,
    doubled_prefix.NAME: doubled_prefix.propose,
    stranded_method.NAME: stranded_method.propose,
    dangling_attribute.NAME: dangling_attribute.propose,
    split_statement.NAME: split_statement.propose,
}
