"""The syntax rules, one module each: a kind of damage and its repair, in the order they are tried."""

from __future__ import annotations

from typing import Final

from argosy.refit.repair.candidate import SyntaxRule
from argosy.refit.repair.syntax import (
    dangling_attribute,
    dedented_lines,
    doubled_prefix,
    empty_block,
    except_without_try,
    extra_bracket,
    fstring_quote,
    glued_statements,
    inside_brackets,
    mangled_call,
    method_outside_class,
    moved_header,
    second_bases,
    split_statement,
    split_string,
)

RULES: Final[dict[str, SyntaxRule]] = {
    mangled_call.NAME: mangled_call.propose,
    extra_bracket.NAME: extra_bracket.propose,
    glued_statements.NAME: glued_statements.propose,
    dedented_lines.NAME: dedented_lines.propose,
    except_without_try.NAME: except_without_try.propose,
    moved_header.NAME: moved_header.propose,
    empty_block.NAME: empty_block.propose,
    inside_brackets.NAME: inside_brackets.propose,
    second_bases.NAME: second_bases.propose,
    split_string.NAME: split_string.propose,
    fstring_quote.NAME: fstring_quote.propose,
    doubled_prefix.NAME: doubled_prefix.propose,
    method_outside_class.NAME: method_outside_class.propose,
    dangling_attribute.NAME: dangling_attribute.propose,
    split_statement.NAME: split_statement.propose,
}
