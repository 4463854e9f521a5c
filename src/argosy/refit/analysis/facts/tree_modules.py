"""The modules of a tree as `argosy.source` reads them, built from facts."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec.structs import replace

from argosy.refit.analysis.facts.module_names import MODULE_EXPORTS, MODULE_IMPORTS, ModuleImports
from argosy.refit.core.source_tree import SourceTree
from argosy.source.file_facts import FileFacts, FileFactsCache
from argosy.source.import_graph import ImportGraph, ImportNode, LoadCertainty, follow_imports
from argosy.source.import_statements import ImportCondition
from argosy.source.literal_ports import LiteralPorts
from argosy.source.module_finder import ModuleFinder, is_standard
from argosy.source.python_source import Unparsed
from argosy.source.sys_path import PathAdditions

_NO_PORTS = LiteralPorts()


def build_facts_cache(tree: SourceTree) -> FileFactsCache:
    """Return the names that the files of a tree bind, by absolute path; without their imports."""
    exports_by_path = tree.facts(MODULE_EXPORTS)

    def read(path: str) -> FileFacts | Unparsed:
        relative = tree.relative_path(path)
        exports = exports_by_path.get(relative)
        if relative in tree.unparsed:
            return tree.unparsed[relative]
        # A file that was left out of the audit may bind anything.
        return FileFacts(
            path=path,
            imports=(),
            names={} if exports is None else exports.names,
            has_dynamic_names=exports is None or exports.has_dynamic_names,
            undefined=(),
            uses_before_definition=(),
            uses_before_definition_as_main=(),
            path_additions=PathAdditions(),
            ports=_NO_PORTS,
        )

    return FileFactsCache(read)


def definition_paths(tree: SourceTree) -> Mapping[str, tuple[str, ...]]:
    """Return the paths of the modules that define a function or class at top level, by its name."""
    found: dict[str, list[str]] = {}
    for path, exports in tree.facts(MODULE_EXPORTS).items():
        for name, binding_kind in exports.names.items():
            if binding_kind in ("def", "class"):
                found.setdefault(name, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def follow_file_imports(tree: SourceTree, path: str) -> ImportGraph | None:
    """Return where the imports of one file lead, None for a file without any."""
    imports = tree.fact(MODULE_IMPORTS, path)
    if imports is None:
        return None
    facts_cache = tree.compute_once(build_facts_cache)
    module = tree.module_at(path)
    own = FileFacts(
        path=module.path,
        # Imports that run only if the file is a script are included.
        imports=tuple(
            replace(item, conditions=item.conditions - {ImportCondition.MAIN}) for item in imports.imports
        ),
        names={},
        has_dynamic_names=True,
        undefined=(),
        uses_before_definition=(),
        uses_before_definition_as_main=(),
        path_additions=imports.path_additions,
        ports=_NO_PORTS,
    )
    node = ImportNode(module.path, own, module, LoadCertainty.CERTAIN)
    return follow_imports(node, module_finder_for(tree, path, imports), facts_cache)


def module_finder_for(tree: SourceTree, path: str, imports: ModuleImports) -> ModuleFinder:
    """Return a finder of the local modules that a file with these imports may mean."""
    absolute_path = os.path.join(tree.root, path)
    is_standard_name = is_standard(
        os.path.splitext(os.path.basename(absolute_path))[0]
    )  # no program has such a module at top level
    is_module = not imports.is_script and (
        is_standard_name or tree.is_package(os.path.dirname(absolute_path))
    )
    return tree.module_finder(path, imports.path_additions.folders, is_module=is_module)
