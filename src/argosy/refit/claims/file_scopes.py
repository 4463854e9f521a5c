"""Scopes: named sets of files and globs, and the files of a tree that they select."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from argosy.refit.claims.claim_spec import FileScope

FLEET = "fleet"

# Paths are relative to the root, so each glob begins with `**`.
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
    """A name is neither a scope nor a glob. known: the names of scopes."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = tuple(known)


def make_scope(names: Iterable[str], named: Mapping[str, Iterable[str]]) -> FileScope:
    """Return the scope of names of scopes, globs, and globs after `!`, which exclude.

    named: the scopes of the claims file, which may refer to built-in scopes, but not to each other.
    Raises UnknownScopeError: a name has none of `/`, `*`, `.` and `?`, and is not a scope.
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
    """Return the paths that a scope selects, sorted. scripts: of the fleet's agents."""
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
    """Return the pattern of a glob: only `**` crosses folders; a folder matches all files below it."""
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
