"""The modules of a tree as the readers of `argosy.source` want them, made of facts."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec.structs import replace

from argosy.refit.facts.imports import IMPORTS, Imports
from argosy.refit.facts.surface import SURFACE
from argosy.refit.tree import Tree
from argosy.source.closure import Closure, Node, Reach, follow_imports
from argosy.source.facts import Facts, Library
from argosy.source.imports import When
from argosy.source.modules import Finder, is_standard
from argosy.source.ports import Ports
from argosy.source.syspath import Additions
from argosy.source.text import Unparsed

_NO_PORTS = Ports()


def library(tree: Tree) -> Library:
    """Return what the files of a tree bind, by absolute path; without their imports."""
    surfaces = tree.facts(SURFACE)

    def read(path: str) -> Facts | Unparsed:
        relative = tree.relative(path)
        surface = surfaces.get(relative)
        if relative in tree.unparsed:
            return tree.unparsed[relative]
        # A file that was left out of the audit may hold anything.
        return Facts(
            path=path,
            imports=(),
            names={} if surface is None else surface.names,
            is_open=surface is None or surface.is_open,
            undefined=(),
            early=(),
            early_as_main=(),
            additions=Additions(),
            ports=_NO_PORTS,
        )

    return Library(read)


def homes(tree: Tree) -> Mapping[str, tuple[str, ...]]:
    """Return the paths of the modules that define a function or class at their top, by its name."""
    found: dict[str, list[str]] = {}
    for path, surface in tree.facts(SURFACE).items():
        for name, how in surface.names.items():
            if how in ("def", "class"):
                found.setdefault(name, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def reached(tree: Tree, path: str) -> Closure | None:
    """Return where the imports of one file lead, None for a file without any."""
    held = tree.fact(IMPORTS, path)
    if held is None:
        return None
    files = tree.derived(library)
    module = tree.module(path)
    own = Facts(
        path=module.path,
        # What runs only when the file is a script is asked about as well.
        imports=tuple(replace(item, when=item.when - {When.MAIN}) for item in held.imports),
        names={},
        is_open=True,
        undefined=(),
        early=(),
        early_as_main=(),
        additions=held.additions,
        ports=_NO_PORTS,
    )
    node = Node(module.path, own, module, Reach.CERTAIN)
    return follow_imports(node, finder_of(tree, path, held), files)


def finder_of(tree: Tree, path: str, held: Imports) -> Finder:
    """Return what finds the local modules that a file with these imports may mean."""
    whole = os.path.join(tree.root, path)
    is_bare = is_standard(
        os.path.splitext(os.path.basename(whole))[0]
    )  # no program has such a module at its top
    is_module = not held.is_script and (is_bare or tree.is_package(os.path.dirname(whole)))
    return tree.finder(path, held.additions.folders, is_module=is_module)
