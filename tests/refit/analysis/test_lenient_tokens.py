"""Lenient tokens: they cover any text, and agree with Python's tokenizer where it accepts the text."""

from __future__ import annotations

import io
import tokenize

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.refit.analysis.lenient_tokens import tokenize_leniently

_PARTS = st.sampled_from(
    [
        "x",
        " ",
        "\n",
        "\r\n",
        "\r",
        "'",
        '"',
        '"""',
        "f'",
        "rb'",
        "ff'",
        "\\",
        "#",
        "(",
        ")",
        "1e-5",
        "0x1F",
        ":=",
        "€",
        "$",
        "\f",
        "def",
    ]
)


@settings(deadline=None)
@given(st.lists(_PARTS, max_size=60).map("".join))
def test_lenient_tokens_cover_whole_text(text: str) -> None:
    tokens = tokenize_leniently(text)
    assert "".join(token.text for token in tokens) == text
    at = 0
    for token in tokens:
        assert token.start == at
        at = token.end


def test_lenient_tokens_have_positions_of_python_tokenizer() -> None:
    text = 'def f(a, *b):\n    """Two\n    lines."""\n    return a<<=1 if b\\\n else 1e-5 + 0x_1F # end\n'
    mine = [(token.text, token.line, token.column) for token in tokenize_leniently(text) if token.is_code]
    skipped = {
        tokenize.NEWLINE,
        tokenize.NL,
        tokenize.COMMENT,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    theirs = [
        (token.string, *token.start)
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in skipped
    ]
    assert mine == theirs


def test_long_unterminated_string_is_tokenized_quickly() -> None:
    tokens = tokenize_leniently('x = """' + "a" * 1_000_000 + "\\" * 1000)
    assert tokens[-1].kind == "open_string"
