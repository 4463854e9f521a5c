"""What an agent prints cannot command the terminal of who reads it."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.logs.terminal_escape import escape_control


def is_harmless(text: str) -> bool:
    return all(char == "\t" or unicodedata.category(char) != "Cc" for char in text)


@given(st.text(st.characters(max_codepoint=0x17F), max_size=60))
def test_no_control_character_is_left(text: str) -> None:
    assert is_harmless(escape_control(text))
    assert is_harmless(re.sub(r"\033\[[0-9;]*m", "", escape_control(text, keep_colours=True)))


@given(st.text(st.characters(categories=("L", "N", "P", "Zs"))))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert escape_control(text) == escape_control(text, keep_colours=True) == text


def test_commands_are_shown_and_colours_end_with_the_line() -> None:
    line = "a\033]0;title\007b\033[2Jc\033[31mred\x9b2J\x7f"
    assert escape_control(line) == "a^[]0;title^Gb^[[2Jcred" + "M-^[2J^?"
    assert escape_control(line, keep_colours=True) == "a^[]0;title^Gb^[[2Jc\033[31mredM-^[2J^?\033[0m"
