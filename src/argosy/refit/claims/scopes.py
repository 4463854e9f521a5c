"""Named sets of files, globs, and which files of a tree they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from argosy.refit.claims.spec import Scope

FLEET = "fleet"

# Paths are taken from the root, so each name begins with the folders that may stand above it.
NAMED: dict[str, tuple[str, ...]] = {
    "all": ("**",),
    "python": ("**/*.py",),
    "yaml": ("**/*.yaml", "**/*.yml"),
    "compose": ("**/*compose*.yaml", "**/*compose*.yml"),
    "docker": ("**/Dockerfile*", "**/*.dockerfile"),
    "shell": ("**/*.sh", "**/*.bash", "**/*.bat", "**/*.ps1"),
    "env": ("**/.env*", "**/*.env"),
    "docs": ("**/*.md", "**/*.rst", "**/*.txt"),
    "requirements": ("**/*requirements*.txt", "**/requirements/*.txt"),
}


class UnknownScopeError(LookupError):
    """A word is neither a scope's name nor a glob. known: the names that there are."""

    def __init__(self, word: str, known: Iterable[str]) -> None:
        super().__init__(word)
        self.word = word
        self.known = tuple(known)


def make_scope(words: Iterable[str], named: Mapping[str, Iterable[str]]) -> Scope:
    """Return the scope that words mean: names of scopes, globs, and globs after `!`, which leave out.

    named: the file's own scopes, which may name those that are always there, and no other of its own.
    Raises UnknownScopeError: a word has none of `/`, `*` and `.`, and no scope has this name.
    """
    globs: list[str] = []
    without: list[str] = []
    has_fleet = False
    for word in words:
        if word.startswith("!"):
            without += _without(word[1:], named)
        elif word == FLEET and word not in named:
            has_fleet = True
        elif word in named:
            inner = make_scope(named[word], {})
            globs += inner.globs
            without += inner.without
            has_fleet = has_fleet or inner.fleet
        elif word in NAMED:
            globs += NAMED[word]
        elif re.search(r"[/*.?]", word):
            globs.append(word.removeprefix("./"))
        else:
            raise UnknownScopeError(word, [*named, FLEET, *NAMED])
    return Scope(tuple(dict.fromkeys(globs)), tuple(dict.fromkeys(without)), has_fleet)


def _without(word: str, named: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    inner = make_scope([word], named)
    if inner.fleet or inner.without:
        raise UnknownScopeError(f"!{word}", ["a glob"])
    return inner.globs


def select(scope: Scope, paths: Iterable[str], scripts: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that a scope means, sorted. scripts: those of the fleet's agents."""
    wanted = [_pattern(glob) for glob in scope.globs]
    unwanted = [_pattern(glob) for glob in scope.without]
    own = set(scripts) if scope.fleet else set()
    return tuple(
        sorted(
            path
            for path in {*paths, *own}
            if (path in own or any(item.fullmatch(path) for item in wanted))
            and not any(item.fullmatch(path) for item in unwanted)
        )
    )


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    """Return a glob as a pattern: `**` crosses folders, `*` and `?` stay in one; a folder means all in it."""
    text = glob.strip("/")
    parts: list[str] = []
    for token in re.findall(r"\*\*/|\*\*|.", text, re.DOTALL):
        if token == "**/":
            parts.append("(?:.*/)?")
        elif token == "**":
            parts.append(".*")
        elif token in "*?":
            parts.append("[^/]*" if token == "*" else "[^/]")
        else:
            parts.append(re.escape(token))
    return re.compile("".join(parts) + "(?:/.*)?", re.DOTALL)
