"""A contract of the import linter: other packages import only what a package's docstring names.

The sentence in the docstring of `__init__.py` is "From outside: `one`, `two`." A package without it has no
module that others may import. Each name is a module or a package in it.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import grimp
from importlinter import Contract, ContractCheck, output

SOURCE = Path(__file__).resolve().parents[2] / "src"
_SENTENCE = re.compile(r"From outside: ((?:`\w+`(?:,\s+)?)+)")


class PublicModulesContract(Contract):
    """Each import across the border of a package is of a module that the package's docstring names."""

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        """Return which imports and which names break the contract."""
        named = {package: public_modules(package) for package in packages(graph)}
        broken = [
            f"{importer} imports {imported}: the docstring of {package} does not name `{child}`"
            for package, child, importer, imported in crossings(graph)
            if child not in named[package]
        ]
        broken += [
            f"the docstring of {package} names `{child}`, which is not in it"
            for package, children in named.items()
            for child in sorted(children)
            if f"{package}.{child}" not in graph.modules
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print what breaks the contract."""
        for line in check.metadata["broken"]:
            output.print_error(line)


def packages(graph: grimp.ImportGraph) -> list[str]:
    """Return the packages below the top one."""
    return sorted(name for name in graph.modules if "." in name and graph.find_children(name))


def crossings(graph: grimp.ImportGraph) -> list[tuple[str, str, str, str]]:
    """Return each import across the border of a package: package, child of it, importer, imported."""
    found = []
    for imported in sorted(graph.modules):
        parts = imported.split(".")
        for importer in sorted(graph.find_modules_that_directly_import(imported)):
            for depth in range(2, len(parts)):
                package = ".".join(parts[:depth])
                if importer != package and not importer.startswith(f"{package}."):
                    found.append((package, parts[depth], importer, imported))
    return found


def public_modules(package: str) -> frozenset[str]:
    """Return the names in the sentence of a package's docstring, none without it."""
    path = SOURCE.joinpath(*package.split("."), "__init__.py")
    docstring: Any = ast.get_docstring(ast.parse(path.read_text())) or ""
    sentence = _SENTENCE.search(docstring)
    return frozenset(re.findall(r"`(\w+)`", sentence[1])) if sentence else frozenset()
