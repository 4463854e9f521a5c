"""What stops a program while it loads: the findings of its closure, in the order of its lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import msgspec

from argosy.source import flow
from argosy.source.closure import Closure, External, Missing, Node, Reach, Step, reach_of
from argosy.source.facts import Facts
from argosy.source.imports import Import, When
from argosy.source.modules import Finder
from argosy.source.order import Early
from argosy.source.text import Unparsed
from argosy.source.undefined import Undefined


class Finding(msgspec.Struct, frozen=True):
    """One thing that stops a program, or may.

    code: S101 to S104, or I602. subject: the name or module that it is about.
    is_certain: every start ends here, if it gets so far; else it is met only on some path.
    way: the imports from the script to the file that is at fault.
    """

    code: str
    subject: str
    path: str
    line: int
    column: int
    message: str
    hint: str
    is_certain: bool
    way: tuple[Step, ...] = ()

    def position(self) -> tuple[int, ...]:
        """Return when the program meets this: the line of each import on the way, then its own."""
        return (*(step.line for step in self.way), self.line)


class Told(NamedTuple):
    """What there is to say of a fault, wherever it was met."""

    code: str
    subject: str
    message: str
    hint: str


class Setting(msgspec.Struct, frozen=True):
    """What a program starts in.

    folder: its working folder, which PYTHONPATH is relative to. installed: answers whether a top
    module is installed for its interpreter; None when that cannot be told. shown: how messages name
    a file. offer: the hint for a module that is not installed.
    """

    finder: Finder
    folder: str
    installed: Callable[[str], bool] | None
    shown: Callable[[str], str]
    offer: Callable[[str], str] | None = None


def find_findings(closure: Closure, setting: Setting) -> tuple[Finding, ...]:
    """Return all findings of a program; what stops it comes first, in the order in which it is met.

    A subject is told once for each file, at its surest place.
    """
    found: list[Finding] = []
    for node in closure.nodes.values():
        if isinstance(node.facts, Unparsed):
            found.append(_of_unparsed(node, node.facts, setting))
        else:
            found += _of_names(node, node.facts, closure)
    found += [_of_missing(item, closure) for item in closure.missing]
    found += _off_path(closure, setting)
    found += [_of_external(item, setting) for item in closure.external if _is_lacking(item, setting)]
    found.sort(key=lambda item: (not item.is_certain, item.position(), item.column))
    first: dict[tuple[str, str, str], Finding] = {}
    for item in found:
        first.setdefault((item.code, item.subject, item.path), item)
    return tuple(first.values())


def _of_unparsed(node: Node, failed: Unparsed, setting: Setting) -> Finding:
    """A file that does not parse is told at its own place when it is the script, else at its import."""
    how = {"read": "", "parse": "does not parse: ", "compile": "does not compile: "}[failed.stage]
    if not node.way:
        return Finding("S101", "", failed.path, failed.line, failed.column, how + failed.message, "", True)
    last = node.way[-1]
    name = node.module.name if node.module is not None else last.module
    is_certain = _is_certain(node.reach, "SyntaxError", node.caught)
    place = f"{setting.shown(failed.path)}:{failed.line}:{failed.column}"
    message = f"imports `{name}`, which {how or 'cannot be read: '}{failed.message} ({place})"
    return Finding("S101", name, last.path, last.line, last.column, message, "", is_certain, node.way[:-1])


def _of_names(node: Node, facts: Facts, closure: Closure) -> Iterator[Finding]:
    early = facts.early_as_main if node.module is None else facts.early
    told = {item.name for item in early}

    def offer(name: str) -> str:
        return offer_home(name, _homes(name, closure), facts.names)

    for item in early:
        caught = node.caught | item.caught
        is_certain = item.is_certain and _is_certain(node.reach, "NameError", caught)
        place = (node.path, item.line, item.column)
        say = tell_early(item, offer)
        yield Finding(say.code, say.subject, *place, say.message, say.hint, is_certain, node.way)
    for name in facts.undefined:
        if name.name not in told:
            say = tell_undefined(name, offer)
            place = (node.path, name.line, name.column)
            yield Finding(say.code, say.subject, *place, say.message, say.hint, False, node.way)


def tell_early(item: Early, offer: Callable[[str], str]) -> Told:
    """Return what there is to say of a name that is read too early. offer: the hint for an unknown one."""
    if item.bound_by is None:
        message = f"`{item.name}` is read while the module loads, and never bound"
        return Told("S104", item.name, message, offer(item.name))
    how = {"import": "imported", "def": "defined", "class": "defined"}.get(item.bound_by, "assigned")
    message = f"`{item.name}` is read before it is {how} in line {item.bound_line}"
    hint = f"move line {item.bound_line} above line {item.line}" if how == "imported" else ""
    return Told("S102", item.name, message, hint)


def tell_undefined(item: Undefined, offer: Callable[[str], str]) -> Told:
    """Return what there is to say of a name that nothing binds."""
    times = f" ({item.uses} uses, the first here)" if item.uses > 1 else ""
    message = f"`{item.name}` is read in `{item.scope}` and never bound{times}"
    return Told("S104", item.name, message, offer(item.name))


def _of_missing(item: Missing, closure: Closure) -> Finding:
    say, error = tell_missing(item, lambda: _names_of(item.module, closure))
    return _of_import(item.node, item.item, say, error, item.reach, item.caught)


def tell_missing(item: Missing, names: Callable[[], Collection[str]]) -> tuple[Told, str]:
    """Return what there is to say of a local import that cannot succeed, and the error that it raises.

    names: what the module binds that lacks the name.
    """
    error = "ModuleNotFoundError" if item.why == "module" else "ImportError"
    hint = ""
    if item.why == "module":
        whole, _, last = item.module.rpartition(".")
        asked = "" if item.item.module == item.module else f" (asked for: `{item.item.written()}`)"
        where = f": `{whole}` has no `{last}`" if whole else ""
        message = f"there is no module `{item.module}` in the tree{where}{asked}"
    elif item.why == "name":
        message = f"cannot import `{item.name}` from `{item.module}`: nothing there binds it"
        hint = _nearest(item.name, names())
    else:
        message = f"the relative import `{item.module}` leads out of every package"
        hint = "a script is no package: name the module in full, or run it as `module:Class`"
    return Told("S103", f"{item.module}:{item.name}", message, hint), error


def _of_external(item: External, setting: Setting) -> Finding:
    message = f"`{item.top}` is neither in the tree nor installed"
    hint = setting.offer(item.item.module) if setting.offer is not None else ""
    told = Told("I602", item.top, message, hint)
    return _of_import(item.node, item.item, told, "ModuleNotFoundError", item.reach, item.caught)


def _of_import(
    node: Node,
    statement: Import,
    told: Told,
    error: str,
    reach: Reach,
    caught: frozenset[str],
) -> Finding:
    """Return the finding of an import that raises `error`."""
    code, subject, message, hint = told
    if flow.is_caught(error, caught):
        message += " (its absence is caught)"
    is_certain = _is_certain(reach, error, caught)
    place = (node.path, statement.line, statement.column)
    return Finding(code, subject, *place, message, hint, is_certain, node.way)


def _is_lacking(item: External, setting: Setting) -> bool:
    if setting.installed is None or When.PLATFORM in item.item.when:
        return False
    return not setting.installed(item.top)


def _off_path(closure: Closure, setting: Setting) -> Iterator[Finding]:
    """Yield the local packages that lie beside sys.path, where nothing that runs before changes it."""
    finder = setting.finder
    assumed = {top.name: top for top in closure.tops if finder.is_assumed(top)}
    for name, step in _asked_first(closure, assumed).items():
        if setting.installed is not None and setting.installed(name):
            continue
        folder = finder.folder_of(assumed[name])
        message = f"`{name}` is in `{setting.shown(folder)}`, which is not on sys.path when the script starts"
        hint = f"env: {{PYTHONPATH: {os.path.relpath(folder, setting.folder)}}}"
        yield Finding("S103", name, step.path, step.line, step.column, message, hint, True)


def _asked_first(closure: Closure, tops: Collection[str]) -> dict[str, Step]:
    """Return the first import of each of `tops` that surely runs; none when a file changes sys.path.

    Only files count that are reached without any of `tops`: the others would never be loaded.
    """
    first: dict[str, Step] = {}
    for node in closure.nodes.values():
        if not isinstance(node.facts, Facts) or any(_top(step.module) in tops for step in node.way):
            continue
        if node.facts.additions.folders or not node.facts.additions.is_complete:
            return {}
        for item in node.facts.imports:
            reach = max(node.reach, reach_of(item, is_main=node.module is None))
            if _top(item.module) in tops and not item.level and reach is Reach.CERTAIN:
                step = Step(node.path, item.line, item.column, item.module)
                first.setdefault(_top(item.module), step)
    return first


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_certain(reach: Reach, error: str, caught: frozenset[str]) -> bool:
    return reach is not Reach.PERHAPS and not flow.is_caught(error, caught)


def _names_of(module: str, closure: Closure) -> list[str]:
    for node in closure.nodes.values():
        if node.module is not None and node.module.name == module and isinstance(node.facts, Facts):
            return list(node.facts.names)
    return []


def _homes(name: str, closure: Closure) -> set[str]:
    """Return the modules of a program that define a function or class of this name."""
    return {
        node.module.name
        for node in closure.nodes.values()
        if isinstance(node.facts, Facts)
        and node.module is not None
        and node.facts.names.get(name) in ("def", "class")
    }


def offer_home(name: str, homes: Collection[str], known: Collection[str]) -> str:
    """Return an import for an unknown name, if one module alone defines it, else the nearest name.

    known: the names that the file itself binds.
    """
    if len(homes) == 1:
        return f"from {next(iter(homes))} import {name}"
    return _nearest(name, known)


def _nearest(name: str, known: Collection[str]) -> str:
    import difflib  # noqa: PLC0415 - asked for a fault alone

    near = difflib.get_close_matches(name, known, 1, 0.8)
    return f"did you mean `{near[0]}`?" if near else ""
