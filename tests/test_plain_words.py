"""Standard terms: docs, messages, docstrings and comments contain no avoided word."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
AVOIDED = re.compile(
    r"\b(anew|whom|borne|(?<!block )for ever|heard|hears|crew|nursery|hull|vigil|outcry|roster|imprint"
    r"|told(?! to\b)|(?<!there )(?<!it )is no(?! (?:longer|more|such)\b))\b",
    re.IGNORECASE,
)
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(page for page in ROOT.glob("docs/**/*.md") if page.parent.name != "decisions"),
        *ROOT.glob("tests/cli/help/*.txt"),
    ]
)
SOURCES = sorted(ROOT.glob("src/**/*.py"))
_PROSE = {tokenize.COMMENT, tokenize.STRING} | (
    {tokenize.FSTRING_MIDDLE} if hasattr(tokenize, "FSTRING_MIDDLE") else set()
)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_docs_page_has_no_avoided_word(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    assert list(_avoided(text)) == []


def test_messages_docstrings_and_comments_have_no_avoided_word() -> None:
    found = [f"{path.relative_to(ROOT)}: {each}" for path in SOURCES for each in _avoided(_prose(path))]
    assert found == []


def _avoided(text: str) -> Iterator[str]:
    for match in AVOIDED.finditer(re.sub(r"\s+", " ", text)):
        yield match.string[max(0, match.start() - 30) : match.end() + 30]


def _prose(path: Path) -> str:
    """Return a file's comments and strings; a string without a space is a name."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    prose = "\n".join(token.string for token in tokens if token.type in _PROSE and " " in token.string)
    return re.sub(r"`[^`\n]*`", "", prose)
