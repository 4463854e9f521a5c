"""Finds files that import a heavy package only to read metrics, such as `torch.cuda.memory_allocated()`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from argosy.source import control_flow
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, read_source

_TORCH_METRICS = (
    r"torch\.(__version__|version(\..*)?|cuda(\.(is_available|device_count|current_device|get_device_name"
    r"|get_device_properties|get_device_capability|memory_\w+|max_memory_\w+|mem_get_info|reset_\w+"
    r"|empty_cache|ipc_collect|utilization|temperature|power_draw|synchronize|memory(\..*)?))?)"
)
# Names that read a metric of the machine and compute nothing.
METRIC_NAMES: Final[Mapping[str, re.Pattern[str]]] = {
    "torch": re.compile(_TORCH_METRICS),
    "tensorflow": re.compile(
        r"tensorflow\.(__version__|config(\.(list_\w+|experimental(\.(get_memory_\w+|list_\w+))?))?"
        r"|test(\.is_gpu_available)?)"
    ),
    "jax": re.compile(r"jax\.(__version__|devices|device_count|local_devices|default_backend)"),
    "cupy": re.compile(r"cupy\.(__version__|cuda(\.(runtime(\.\w+)?|Device))?|get_default_memory_pool)"),
}
# Reads the same metrics, in less than a megabyte.
ALTERNATIVE: Final = "nvidia-ml-py"


class MetricOnlyImport(msgspec.Struct, frozen=True, order=True):
    """A file that uses only metrics of a package. names_used: dotted names, sorted."""

    path: str
    module: str
    names_used: tuple[str, ...]


def find_metric_only_import(path: str, module: str, display_path: str) -> MetricOnlyImport | None:
    """Return the names that a file uses of the top-level module when all are metrics, else None.

    display_path: the file's name in the result. A file that does not parse gives None: it may use any name.
    """
    pattern = METRIC_NAMES.get(module)
    source = read_source(path)
    parsed = parse(source, is_compiled=False) if pattern and isinstance(source, SourceText) else None
    if pattern is None or not isinstance(parsed, Parsed):
        return None
    names_used = set(_find_names_used(parsed.tree, module))
    if not all(pattern.fullmatch(name) for name in names_used):
        return None
    return MetricOnlyImport(display_path, module, tuple(sorted(names_used)))


def _find_names_used(tree: ast.Module, module: str) -> Iterator[str]:
    """Yield the dotted names that a tree uses of `module`; the bare module when it is used as a value."""
    names = dict(_imported_names(tree, module))
    if "*" in names:
        yield names["*"]
    qualified: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            chain = control_flow.dotted_name(node)
            first, _, rest = chain.partition(".")
            if id(node) not in qualified and first in names:
                yield f"{names[first]}.{rest}"
            qualified.add(id(node.value))
        elif (
            isinstance(node, ast.Name)
            and node.id in names
            and isinstance(node.ctx, ast.Load)
            and id(node) not in qualified
        ):
            yield names[node.id]


def _imported_names(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == module:
                    yield (alias.asname, alias.name) if alias.asname else (module, module)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            source_module = node.module or ""
            for alias in node.names if source_module.partition(".")[0] == module else ():
                yield alias.asname or alias.name, f"{source_module}.{alias.name}"
