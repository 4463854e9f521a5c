"""Finds errors that stop a program while it loads, in the order in which they occur."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import msgspec

from argosy.source import control_flow
from argosy.source.file_facts import FileFacts
from argosy.source.import_graph import (
    ExternalImport,
    ImportGraph,
    ImportNode,
    ImportStep,
    LoadCertainty,
    MissingImport,
    certainty_of,
)
from argosy.source.import_statements import Import, ImportCondition
from argosy.source.module_finder import ModuleFinder
from argosy.source.python_source import Unparsed
from argosy.source.undefined_names import UndefinedName
from argosy.source.use_before_def import UseBeforeDefinition


class StartupFinding(msgspec.Struct, frozen=True):
    """One error that stops a program, or may stop it.

    code: S101 to S104, or I602. subject: the name or module concerned.
    is_certain: every start that gets this far fails here; otherwise only some code paths do.
    import_chain: the imports from the script to the faulty file.
    """

    code: str
    subject: str
    path: str
    line: int
    column: int
    message: str
    hint: str
    is_certain: bool
    import_chain: tuple[ImportStep, ...] = ()

    def sort_key(self) -> tuple[int, ...]:
        """Return the order of occurrence: the line of each import in the chain, then its own line."""
        return (*(step.line for step in self.import_chain), self.line)


class StartupDiagnosis(NamedTuple):
    """The code, subject, message and hint of an error, without its location."""

    code: str
    subject: str
    message: str
    hint: str


class StartupContext(msgspec.Struct, frozen=True):
    """The environment that a program starts in.

    folder: its working folder, which PYTHONPATH is relative to. is_installed: whether a top-level module is
    installed for its interpreter; None if unknown. format_path: formats a path for messages.
    install_hint: returns the hint for a module that is not installed.
    """

    finder: ModuleFinder
    folder: str
    is_installed: Callable[[str], bool] | None
    format_path: Callable[[str], str]
    install_hint: Callable[[str], str] | None = None


def find_startup_findings(import_graph: ImportGraph, context: StartupContext) -> tuple[StartupFinding, ...]:
    """Return all findings of a program: certain ones first, each group in order of occurrence.

    A subject is reported once per file, at its most certain location.
    """
    found: list[StartupFinding] = []
    for node in import_graph.nodes.values():
        if isinstance(node.facts, Unparsed):
            found.append(_unparsed_finding(node, node.facts, context))
        else:
            found += _name_findings(node, node.facts, import_graph)
    found += [_missing_import_finding(item, import_graph) for item in import_graph.missing_imports]
    found += _off_path_findings(import_graph, context)
    found += [
        _external_import_finding(item, context)
        for item in import_graph.external_imports
        if _is_not_installed(item, context)
    ]
    found.sort(key=lambda item: (not item.is_certain, item.sort_key(), item.column))
    first: dict[tuple[str, str, str], StartupFinding] = {}
    for item in found:
        first.setdefault((item.code, item.subject, item.path), item)
    return tuple(first.values())


def _unparsed_finding(node: ImportNode, failed: Unparsed, context: StartupContext) -> StartupFinding:
    """Return the finding of a file that does not parse: in the script itself, else at its import."""
    prefix = {"read": "", "parse": "does not parse: ", "compile": "does not compile: "}[failed.stage]
    if not node.import_chain:
        return StartupFinding(
            "S101", "", failed.path, failed.line, failed.column, prefix + failed.message, "", True
        )
    last = node.import_chain[-1]
    name = node.module.name if node.module is not None else last.module
    is_certain = _is_certain(node.certainty, "SyntaxError", node.caught)
    location = f"{context.format_path(failed.path)}:{failed.line}:{failed.column}"
    message = f"imports `{name}`, which {prefix or 'cannot be read: '}{failed.message} ({location})"
    return StartupFinding(
        "S101", name, last.path, last.line, last.column, message, "", is_certain, node.import_chain[:-1]
    )


def _name_findings(node: ImportNode, facts: FileFacts, import_graph: ImportGraph) -> Iterator[StartupFinding]:
    early = facts.uses_before_definition_as_main if node.module is None else facts.uses_before_definition
    reported = {item.name for item in early}

    def suggest(name: str) -> str:
        return suggest_import(name, _defining_modules(name, import_graph), facts.names)

    for item in early:
        caught = node.caught | item.caught
        is_certain = item.is_certain and _is_certain(node.certainty, "NameError", caught)
        place = (node.path, item.line, item.column)
        diagnosis = diagnose_use_before_definition(item, suggest)
        yield StartupFinding(
            diagnosis.code,
            diagnosis.subject,
            *place,
            diagnosis.message,
            diagnosis.hint,
            is_certain,
            node.import_chain,
        )
    for name in facts.undefined:
        if name.name not in reported:
            diagnosis = diagnose_undefined(name, suggest)
            place = (node.path, name.line, name.column)
            yield StartupFinding(
                diagnosis.code,
                diagnosis.subject,
                *place,
                diagnosis.message,
                diagnosis.hint,
                False,
                node.import_chain,
            )


def diagnose_use_before_definition(
    item: UseBeforeDefinition, suggest: Callable[[str], str]
) -> StartupDiagnosis:
    """Return the diagnosis of a name that is read too early. suggest: the hint for an unknown name."""
    if item.bound_by is None:
        message = f"`{item.name}` is read while the module loads, but never bound"
        return StartupDiagnosis("S104", item.name, message, suggest(item.name))
    verb = {"import": "imported", "def": "defined", "class": "defined"}.get(item.bound_by, "assigned")
    message = f"`{item.name}` is read before it is {verb} in line {item.bound_line}"
    hint = f"move line {item.bound_line} above line {item.line}" if verb == "imported" else ""
    return StartupDiagnosis("S102", item.name, message, hint)


def diagnose_undefined(item: UndefinedName, suggest: Callable[[str], str]) -> StartupDiagnosis:
    """Return the diagnosis of a name that is never bound."""
    times = f" ({item.use_count} uses, the first here)" if item.use_count > 1 else ""
    message = f"`{item.name}` is read in `{item.scope}` but never bound{times}"
    return StartupDiagnosis("S104", item.name, message, suggest(item.name))


def _missing_import_finding(item: MissingImport, import_graph: ImportGraph) -> StartupFinding:
    diagnosis, error = diagnose_missing_import(item, lambda: _bound_names(item.module, import_graph))
    return _import_finding(item.node, item.statement, diagnosis, error, item.certainty, item.caught)


def diagnose_missing_import(
    item: MissingImport, names: Callable[[], Collection[str]]
) -> tuple[StartupDiagnosis, str]:
    """Return the diagnosis of a local import that cannot succeed, and the exception that it raises.

    names: returns the names that the imported module binds.
    """
    error = "ModuleNotFoundError" if item.reason == "module" else "ImportError"
    hint = ""
    if item.reason == "module":
        parent, _, last = item.module.rpartition(".")
        is_whole = item.statement.module == item.module
        imported = "" if is_whole else f" (imported as `{item.statement.written_name()}`)"
        where = f": `{parent}` has no `{last}`" if parent else ""
        message = f"there is no module `{item.module}` in the tree{where}{imported}"
    elif item.reason == "name":
        message = f"cannot import `{item.name}` from `{item.module}`: the module does not bind it"
        hint = _closest_match(item.name, names())
    else:
        message = f"the relative import `{item.module}` goes beyond the top-level package"
        hint = "a script is not a package: use the absolute name, or run it as `module:Class`"
    return StartupDiagnosis("S103", f"{item.module}:{item.name}", message, hint), error


def _external_import_finding(item: ExternalImport, context: StartupContext) -> StartupFinding:
    message = f"`{item.top}` is neither in the tree nor installed"
    hint = context.install_hint(item.statement.module) if context.install_hint is not None else ""
    diagnosis = StartupDiagnosis("I602", item.top, message, hint)
    return _import_finding(
        item.node, item.statement, diagnosis, "ModuleNotFoundError", item.certainty, item.caught
    )


def _import_finding(
    node: ImportNode,
    statement: Import,
    diagnosis: StartupDiagnosis,
    error: str,
    certainty: LoadCertainty,
    caught: frozenset[str],
) -> StartupFinding:
    """Return the finding of an import that raises `error`."""
    code, subject, message, hint = diagnosis
    if control_flow.is_caught(error, caught):
        message += " (its absence is caught)"
    is_certain = _is_certain(certainty, error, caught)
    place = (node.path, statement.line, statement.column)
    return StartupFinding(code, subject, *place, message, hint, is_certain, node.import_chain)


def _is_not_installed(item: ExternalImport, context: StartupContext) -> bool:
    if context.is_installed is None or ImportCondition.PLATFORM in item.statement.conditions:
        return False
    return not context.is_installed(item.top)


def _off_path_findings(import_graph: ImportGraph, context: StartupContext) -> Iterator[StartupFinding]:
    """Yield the local packages that are not on sys.path, unless code that runs earlier changes it."""
    finder = context.finder
    assumed = {top.name: top for top in import_graph.top_modules if finder.is_assumed(top)}
    for name, step in _first_certain_imports(import_graph, assumed).items():
        if context.is_installed is not None and context.is_installed(name):
            continue
        folder = finder.folder_of(assumed[name])
        message = (
            f"`{name}` is in `{context.format_path(folder)}`, which is not on sys.path when the script starts"
        )
        hint = f"env: {{PYTHONPATH: {os.path.relpath(folder, context.folder)}}}"
        yield StartupFinding("S103", name, step.path, step.line, step.column, message, hint, True)


def _first_certain_imports(import_graph: ImportGraph, tops: Collection[str]) -> dict[str, ImportStep]:
    """Return the first certain import of each of `tops`; none if a file changes sys.path.

    Files that are loaded only through one of `tops` are ignored.
    """
    first: dict[str, ImportStep] = {}
    for node in import_graph.nodes.values():
        if not isinstance(node.facts, FileFacts) or any(
            _top_module(step.module) in tops for step in node.import_chain
        ):
            continue
        if node.facts.path_additions.folders or not node.facts.path_additions.is_complete:
            return {}
        for item in node.facts.imports:
            certainty = max(node.certainty, certainty_of(item, is_main=node.module is None))
            if _top_module(item.module) in tops and not item.level and certainty is LoadCertainty.CERTAIN:
                step = ImportStep(node.path, item.line, item.column, item.module)
                first.setdefault(_top_module(item.module), step)
    return first


def _top_module(name: str) -> str:
    return name.partition(".")[0]


def _is_certain(certainty: LoadCertainty, error: str, caught: frozenset[str]) -> bool:
    return certainty is not LoadCertainty.POSSIBLE and not control_flow.is_caught(error, caught)


def _bound_names(module: str, import_graph: ImportGraph) -> list[str]:
    for node in import_graph.nodes.values():
        if node.module is not None and node.module.name == module and isinstance(node.facts, FileFacts):
            return list(node.facts.names)
    return []


def _defining_modules(name: str, import_graph: ImportGraph) -> set[str]:
    """Return the modules of a program that define a function or class with this name."""
    return {
        node.module.name
        for node in import_graph.nodes.values()
        if isinstance(node.facts, FileFacts)
        and node.module is not None
        and node.facts.names.get(name) in ("def", "class")
    }


def suggest_import(name: str, modules: Collection[str], known: Collection[str]) -> str:
    """Return an import for an unknown name if exactly one module defines it, else the closest name.

    known: the names that the file itself binds.
    """
    if len(modules) == 1:
        return f"from {next(iter(modules))} import {name}"
    return _closest_match(name, known)


def _closest_match(name: str, known: Collection[str]) -> str:
    import difflib  # noqa: PLC0415 - only needed for a finding

    near = difflib.get_close_matches(name, known, 1, 0.8)
    return f"did you mean `{near[0]}`?" if near else ""
