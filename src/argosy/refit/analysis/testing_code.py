"""Recognizes test files: addresses in them are made up, and belong to no machine."""

from __future__ import annotations

import ast
import re

from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import is_main_test

_TEST_DIRECTORY = re.compile(r"(?:^|/)(?:tests?/|conftest\.py$)")
_TEST_FILE_NAME = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
_TEST_LIBRARIES = frozenset({"pytest", "unittest", "hypothesis"})


def is_test_file(file: PythonFile) -> bool:
    """Return whether a file is a test: by its directory, its name, or the tools that it imports.

    A script that is called `test_…` and has a main block is run by hand against real machines, and is not a
    test.
    """
    return file.compute_once(_detect_test_file)


def _detect_test_file(file: PythonFile) -> bool:
    if _TEST_DIRECTORY.search(file.path):
        return True
    if _TEST_FILE_NAME.search(file.path):
        return not any(isinstance(node, ast.If) and is_main_test(node.test) for node in file.tree.body)
    imported = {alias.name.partition(".")[0] for node, _ in file.nodes(ast.Import) for alias in node.names}
    imported |= {(node.module or "").partition(".")[0] for node, _ in file.nodes(ast.ImportFrom)}
    return bool(imported & _TEST_LIBRARIES)
