"""Named sets of files, globs, and which files of a tree they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from argosy.refit.claims.claim_spec import FileScope

FLEET = "fleet"

# Paths are taken from the root, so each name begins with the folders that may stand above it.
NAMED_SCOPES: dict[str, tuple[str, ...]] = {
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

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = tuple(known)


def make_scope(names: Iterable[str], named: Mapping[str, Iterable[str]]) -> FileScope:
    """Return the scope that words mean: names of scopes, globs, and globs after `!`, which leave out.

    named: the file's own scopes, which may name those that are always there, and no other of its own.
    Raises UnknownScopeError: a word has none of `/`, `*` and `.`, and no scope has this name.
    """
    globs: list[str] = []
    excluded: list[str] = []
    has_fleet = False
    for name in names:
        if name.startswith("!"):
            excluded += _excluded_globs(name[1:], named)
        elif name == FLEET and name not in named:
            has_fleet = True
        elif name in named:
            inner = make_scope(named[name], {})
            globs += inner.globs
            excluded += inner.excluded
            has_fleet = has_fleet or inner.includes_fleet
        elif name in NAMED_SCOPES:
            globs += NAMED_SCOPES[name]
        elif re.search(r"[/*.?]", name):
            globs.append(name.removeprefix("./"))
        else:
            raise UnknownScopeError(name, [*named, FLEET, *NAMED_SCOPES])
    return FileScope(tuple(dict.fromkeys(globs)), tuple(dict.fromkeys(excluded)), has_fleet)


def _excluded_globs(name: str, named: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    inner = make_scope([name], named)
    if inner.includes_fleet or inner.excluded:
        raise UnknownScopeError(f"!{name}", ["a glob"])
    return inner.globs


def select_files(scope: FileScope, paths: Iterable[str], scripts: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that a scope means, sorted. scripts: those of the fleet's agents."""
    included = [_glob_pattern(glob) for glob in scope.globs]
    excluded = [_glob_pattern(glob) for glob in scope.excluded]
    fleet_scripts = set(scripts) if scope.includes_fleet else set()
    return tuple(
        sorted(
            path
            for path in {*paths, *fleet_scripts}
            if (path in fleet_scripts or any(item.fullmatch(path) for item in included))
            and not any(item.fullmatch(path) for item in excluded)
        )
    )


@cache
def _glob_pattern(glob: str) -> re.Pattern[str]:
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
