"""Digests of a measure's inputs: when they change, the measured value is stale.

Inputs inside the tracker's directory are the files that git would track, or those that globs match, except
the ledger and the report. Files outside of it (`$CORPUS/**`) have separate digests: if they are missing, as
on a CI machine, the rest is still compared.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import msgspec

import argosy
from argosy.refit.claims.file_scopes import make_scope, select_files
from argosy.source.git_tree import tree_files
from argosy.track.builtin_measures import find_builtin
from argosy.track.track_spec import Measure

_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")


class InputDigests(msgspec.Struct, frozen=True, omit_defaults=True):
    """Digests of a measure's inputs.

    inside: of the files in the tracker's directory and of the method. outside: by glob, of files elsewhere;
    empty if there are none now.
    """

    inside: str
    outside: dict[str, str] = {}

    def matches(self, earlier: InputDigests) -> bool:
        """Return whether the inputs that exist here are unchanged since `earlier`."""
        missing = [name for name, digest in self.outside.items() if not digest]
        seen = {name: digest for name, digest in self.outside.items() if name not in missing}
        then = {name: digest for name, digest in earlier.outside.items() if name not in missing}
        return self.inside == earlier.inside and seen == then


class InputDigester:
    """Digests inputs in one directory, each file once.

    directory: of the tracker. excluded: paths that are not inputs: the ledger and the report.
    """

    def __init__(self, directory: str, excluded: Iterable[str], variables: Mapping[str, str]) -> None:
        self._directory = directory
        self._variables = variables
        self._excluded = tuple(os.path.relpath(path, directory) for path in excluded)
        self._listed: dict[str, tuple[str, ...]] = {}
        self._digests: dict[str, str] = {}

    def digest(self, measure: Measure) -> InputDigests:
        """Return the digests of a measure's inputs.

        Raises UnknownScopeError: a glob is invalid.
        """
        made = _Hasher()
        made.add(measure.description(), *(f"{name}={value}" for name, value in measure.env))
        builtin = find_builtin(measure.builtin)
        if builtin is not None:
            made.add(code_digest(builtin.packages))
        outside: dict[str, str] = {}
        for root, globs in self._input_roots(measure):
            if root == self._directory or root.startswith(self._directory + os.sep):
                made.add(self._tree_digest(root, tuple(globs)))
            else:
                outside[root] = self._tree_digest(root, tuple(globs)) if os.path.isdir(root) else ""
        for pattern in measure.inputs:
            if "$" in pattern or os.path.isabs(pattern):
                outside[pattern] = self._external_digest(pattern)
        return InputDigests(made.hexdigest(), outside)

    def _input_roots(self, measure: Measure) -> list[tuple[str, list[str]]]:
        inner = [word for word in measure.inputs if "$" not in word and not os.path.isabs(word)]
        if inner or measure.inputs:
            return [(self._directory, inner)] if inner else []
        if measure.builtin and measure.tree:
            return [(self._absolute(measure.tree), ["**/*.py", "*.py"])]
        if measure.fleet:
            path = self._absolute(measure.fleet)
            return [(path if os.path.isdir(path) else os.path.dirname(path), [])]
        return [(self._directory, [])]

    def _absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._directory, expand_variables(path, self._variables)))

    def _tree_digest(self, root: str, globs: tuple[str, ...]) -> str:
        """Return the digest of the files below `root` that `globs` match; of all files without globs."""
        if root not in self._listed:
            self._listed[root] = tuple(path for path in tree_files(root) if not self._is_excluded(root, path))
        paths: Iterable[str] = self._listed[root]
        if globs:
            paths = select_files(make_scope(globs, {}), paths, ())
        made = _Hasher()
        for path in sorted(paths):
            made.add(path, self._file_digest(os.path.join(root, path)))
        return made.hexdigest()

    def _external_digest(self, pattern: str) -> str:
        found = sorted(glob.glob(expand_variables(pattern, self._variables), recursive=True))
        if not found:
            return ""
        made = _Hasher()
        for path in found:
            if os.path.isdir(path):
                made.add(self._tree_digest(path, ()))
            else:
                made.add(os.path.basename(path), self._file_digest(path))
        return made.hexdigest()

    def _is_excluded(self, root: str, path: str) -> bool:
        inside = os.path.relpath(os.path.join(root, path), self._directory)
        return any(inside == one or inside.startswith(one + os.sep) for one in self._excluded)

    def _file_digest(self, path: str) -> str:
        if path not in self._digests:
            self._digests[path] = _digest_file(path)
        return self._digests[path]


def expand_variables(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with `$NAME` and `${NAME}` expanded; unset variables stay as they are."""
    return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], found[0]), text)


def unset_variables(text: str, variables: Mapping[str, str]) -> list[str]:
    """Return the names of unset variables in a text."""
    names = [found[1] or found[2] for found in _VARIABLE.finditer(text)]
    return [name for name in names if name not in variables]


@cache
def code_digest(packages: tuple[str, ...]) -> str:
    """Return a digest of the sources of some packages of this argosy."""
    made = _Hasher()
    root = Path(argosy.__file__).parent
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            made.add(path.relative_to(root).as_posix(), _digest_file(str(path)))
    return made.hexdigest()


class _Hasher:
    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=10)

    def add(self, *parts: str) -> None:
        for part in parts:
            data = part.encode("utf-8", "surrogateescape")
            self._hash.update(len(data).to_bytes(8, "little") + data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _digest_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=10)).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"
