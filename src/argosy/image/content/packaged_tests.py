"""Finds tests inside wheels, which are left out of images unless something imports them.

A folder `tests` or `test` inside a package counts when it has files named like tests. Of it are kept the
modules that the package, other wheels or the agents import, what these import from it, and the data beside
them. Sources are read, never run; a string that may be a module name counts as an import, and a string that
may be a path into the folder keeps all of it.
"""

from __future__ import annotations

import ast
import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final

_TEST_FOLDERS: Final = frozenset({"test", "tests"})
_IS_TEST: Final = re.compile(r"(test_.*|.*_tests?|conftest)\.py")
# Only modules whose text matches are parsed: parsing all of a large package takes seconds.
_TEST_MENTION: Final = re.compile(rb"""\.tests?\b|\btests?\.\w|\bimport\b[^\n]*\btests?\b|['"/]tests?['"/]""")
_DOTTED_TEST: Final = re.compile(r"\w*(\.\w+)*\.tests?(\.\w+)*|tests?\.\w+(\.\w+)*")


def unused_test_files(archive: zipfile.ZipFile, referenced: Collection[str] = ()) -> frozenset[str]:
    """Return the files of a wheel that are unused tests. referenced: modules of tests that others import."""
    folders = _test_folders(archive)
    if not folders:
        return frozenset()
    return _unused_files(archive, folders, {*referenced, *_references_in(archive.namelist(), archive.read)})


def wheel_tests(archive: zipfile.ZipFile) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the unused test files of a wheel, and the modules of other packages' tests that it imports."""
    names = archive.namelist()
    references = _references_in(names, archive.read)
    return _unused_files(archive, _test_folders(archive), references), _foreign_references(names, references)


def referenced_tests(names: Iterable[str], read: Callable[[str], bytes]) -> tuple[str, ...]:
    """Return the modules of other packages' tests that the sources of a tree import.

    names: files, relative to the folder that packages are imported from; tests among them are not read.
    read: returns the content of a file.
    """
    all_names = list(names)
    return _foreign_references(all_names, _references_in(all_names, read))


def _references_in(names: Iterable[str], read: Callable[[str], bytes]) -> set[str]:
    """Return the references to tests in the sources that are not tests themselves."""
    sources = [
        name for name in names if name.endswith(".py") and not _test_folder_of(name) and not _is_test(name)
    ]
    return {reference for name in sources for reference in test_references(read(name), name)}


def _foreign_references(names: Iterable[str], references: Iterable[str]) -> tuple[str, ...]:
    """Return the referenced modules that belong to none of the packages in `names`."""
    tops = {name.partition("/")[0].removesuffix(".py") for name in names if name.endswith(".py")}
    modules = (reference for reference in references if "/" not in reference)
    return tuple(sorted(module for module in modules if module.partition(".")[0] not in tops))


def _test_folders(archive: zipfile.ZipFile) -> dict[str, set[str]]:
    """Return the folders that contain files named like tests, each with all its files."""
    found: dict[str, set[str]] = {}
    for name in archive.namelist():
        if folder := _test_folder_of(name):
            found.setdefault(folder, set()).add(name)
    return {folder: names for folder, names in found.items() if any(map(_is_test, names))}


def _unused_files(
    archive: zipfile.ZipFile, folders: Mapping[str, set[str]], references: Iterable[str]
) -> frozenset[str]:
    return frozenset().union(*folders.values()) - _required_files(archive, folders, references)


def _required_files(
    archive: zipfile.ZipFile, folders: Mapping[str, set[str]], references: Iterable[str]
) -> set[str]:
    """Return the referenced files in folders of tests, and the files that these reference in turn."""
    kept: set[str] = set()
    pending = list(references)
    while pending:
        reference = pending.pop()
        path = reference.replace(".", "/")
        folder = next((each for each in folders if f"{path}/".startswith(f"{each}/")), "")
        if "/" in reference:
            new = folders.get(folder, set()) - kept
        else:
            new = {name for name in folders.get(folder, ()) if _is_run_on_import(name, path)} - kept
        if new:
            new |= {name for name in folders[folder] if not name.endswith(".py")}
        kept |= new
        pending += [
            more
            for name in new
            if name.endswith(".py")
            for more in test_references(archive.read(name), name)
            if "/" not in more
        ]
    return kept


def _is_run_on_import(name: str, path: str) -> bool:
    """Return whether a file runs when a module, or a name in a module, is imported by this path."""
    module = name.removesuffix(".py").removesuffix("/__init__")
    return name.endswith(".py") and (f"{path}/".startswith(f"{module}/"))


def test_references(data: bytes, path: str) -> Iterator[str]:
    """Yield module names and paths in a source that may refer to tests.

    path: of the source, relative to the folder that packages are imported from. A source that does not parse
    yields nothing, since nothing can import it.
    """
    if not _test_folder_of(path) and not _TEST_MENTION.search(data):
        return
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return
    package = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from filter(_has_test_package, (alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            yield from filter(
                _has_test_package, (module, *(f"{module}.{alias.name}" for alias in node.names))
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _references_in_text(node.value, package)


def _references_in_text(text: str, package: list[str]) -> Iterator[str]:
    """Yield the module, or the path beside the source, that a string literal may refer to."""
    if _DOTTED_TEST.fullmatch(text):
        yield ".".join([*package, text.lstrip(".")]) if text.startswith(".") else text
    elif text.strip("/").partition("/")[0] in _TEST_FOLDERS:
        yield "/".join([*package, text.strip("/")])


def _has_test_package(module: str) -> bool:
    return not _TEST_FOLDERS.isdisjoint(module.split(".")[1:])


def _test_folder_of(name: str) -> str:
    """Return the outermost folder of tests that contains a file of a package, empty when there is none."""
    parts = name.split("/")
    if parts[0].endswith((".data", ".dist-info")):
        return ""
    for depth in range(1, len(parts) - 1):
        if parts[depth] in _TEST_FOLDERS:
            return "/".join(parts[: depth + 1])
    return ""


def _is_test(name: str) -> bool:
    return _IS_TEST.fullmatch(name.rpartition("/")[2]) is not None
