"""Names in single statements, read from their tokens: bound names and mentioned names."""

from __future__ import annotations

from itertools import pairwise

from argosy.refit.analysis.lenient_statements import SourceStatement


def names_mentioned(statement: SourceStatement) -> set[str]:
    """Return the names that a statement mentions, without attributes (`b` of `a.b`)."""
    found = {statement.first_token.text} if statement.first_token.kind == "name" else set()
    found |= {
        token.text
        for before, token in pairwise(statement.tokens)
        if token.kind == "name" and before.text != "."
    }
    return found


def names_bound(statement: SourceStatement) -> set[str]:
    """Return the names that an import or a plain assignment binds; empty for any other statement."""
    texts = [token.text for token in statement.tokens]
    if statement.keyword == "import":
        return {name.split(".")[0] for name in _bound_aliases("".join(f" {text} " for text in texts[1:]))}
    if statement.keyword == "from" and "import" in texts:
        listed = texts[texts.index("import") + 1 :]
        return _bound_aliases(" ".join(text for text in listed if text not in "()"))
    if len(texts) > 2 and statement.first_token.kind == "name" and texts[1] == "=":
        return {texts[0]}
    return set()


def _bound_aliases(text: str) -> set[str]:
    found: set[str] = set()
    for part in text.split(","):
        tokens = part.split()
        if tokens and tokens[0].isidentifier():
            found.add(tokens[-1] if "as" in tokens else tokens[0])
    return found
