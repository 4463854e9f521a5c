"""Reads and applies the decisions of a person: one reviewed file, whose limits are enforced here.

An entry has one file, a reason, and one of

    replace: [{old: text that occurs once, new: text}, ...]         at most ten added lines
    delete: [{first: a line, until: a line}, ...]                   a duplicated body
    restore: {source: another file of the tree, names: [Class.method, ...], into: Class}   counted separately
    adapter: the text of a missing module, at most forty lines
    settings: {agent: {env: …, args: …}, ...}   of the fleet file; the entry's file is then `fleet.yaml`

`lacking` lists missing capabilities that agents do not report themselves: it does not change the tree, and
such an agent counts as degraded.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

from realfleet.progress import ScenarioError

MAX_DECISIONS: Final = 16
MAX_SHARED: Final = 3
MAX_ADAPTERS: Final = 4
MAX_ADDED_LINES: Final = 10
MAX_ADAPTER_LINES: Final = 40
FLEET_FILE: Final = "fleet.yaml"


class Replace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Text that occurs exactly `times` times in the file, and its replacement."""

    old: str
    new: str
    times: int = 1


class Delete(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lines from the `nth` line equal to `first` to the next line equal to `until`, exclusive."""

    first: str
    until: str
    nth: int = 1


class Restore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Methods to copy from another file of the tree. renamed: attributes with another name here."""

    source: str
    names: list[str]
    into: str
    renamed: dict[str, str] = {}


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the file."""

    file: str
    why: str
    shared: bool = False
    replace: list[Replace] = []
    delete: list[Delete] = []
    restore: Restore | None = None
    adapter: str | None = None
    settings: dict[str, dict[str, Any]] = {}


class FleetSources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The files of the tree that define the fleet, and the addresses of its machines.

    Without it, `argosy import` searches the tree and uses this machine's address.
    """

    files: list[str]
    why: str
    addresses: dict[str, str] = {}


class MissingCapability(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A capability that an agent lacks on this machine and that its health does not report."""

    agent: str
    what: str
    why: str


class Decisions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The decision file."""

    fleet: FleetSources | None = None
    decisions: list[Decision] = []
    lacking: list[MissingCapability] = []

    def missing_capabilities(self) -> dict[str, list[str]]:
        """Return by agent the missing capabilities that it does not report."""
        found: dict[str, list[str]] = {}
        for each in self.lacking:
            found.setdefault(each.agent, []).append(f"goes without {each.what}: {each.why}")
        return found

    def chosen(self, which: Literal["none", "shared", "all"]) -> list[Decision]:
        """Return the entries that a round applies."""
        if which == "none":
            return []
        return [each for each in self.decisions if which == "all" or each.shared]


def read_decisions(path: Path) -> Decisions:
    """Read a decision file. Raises ScenarioError: it is invalid or exceeds its limits."""
    try:
        told = msgspec.convert(yaml.safe_load(path.read_bytes()) or {}, type=Decisions)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ScenarioError(f"`{path}` is not a decision file: {error}") from None
    counts = (
        ("decisions", len(told.decisions), MAX_DECISIONS),
        ("shared decisions", sum(each.shared for each in told.decisions), MAX_SHARED),
        ("adapters", sum(each.adapter is not None for each in told.decisions), MAX_ADAPTERS),
    )
    for what, found, most in counts:
        if found > most:
            raise ScenarioError(f"`{path}` has {found} {what}, and {most} are allowed")
    files = [each.file for each in told.decisions]
    if len(set(files)) < len(files):
        raise ScenarioError(f"`{path}` has two entries about one file")
    for each in told.decisions:
        _validate(each)
    return told


def _validate(each: Decision) -> None:
    whole = [each.adapter is not None, bool(each.settings)]
    kinds = [bool(each.replace), bool(each.delete), each.restore is not None, *whole]
    if not any(kinds) or (any(whole) and sum(kinds) > 1):
        raise ScenarioError(
            f"the decision on `{each.file}` says nothing, or two things that exclude each other"
        )
    if bool(each.settings) != (each.file == FLEET_FILE):
        raise ScenarioError(
            f"the decision on `{each.file}`: settings are of `{FLEET_FILE}`, and it has no other"
        )
    if not each.why.strip():
        raise ScenarioError(f"the decision on `{each.file}` has no reason")
    lines = len((each.adapter or "").splitlines())
    if lines > MAX_ADAPTER_LINES:
        raise ScenarioError(
            f"the adapter `{each.file}` has {lines} lines, and {MAX_ADAPTER_LINES} are allowed"
        )


class Applied(msgspec.Struct, frozen=True):
    """The result of an entry. added, removed: lines, including those of an adapter and of `restore`."""

    file: str
    kind: str
    added: int
    removed: int
    restored: int
    why: str
    shared: bool


def apply(root: Path, entries: Iterable[Decision]) -> list[Applied]:
    """Apply entries to a tree and return the results.

    Raises ScenarioError: the file does not match the entry, or an entry adds too many lines.
    """
    return [_apply_one(root, each) for each in entries]


def _apply_one(root: Path, each: Decision) -> Applied:
    path = root / each.file
    if each.adapter is not None:
        if path.exists():
            raise ScenarioError(f"the tree has `{each.file}`, for which the decisions supply an adapter")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(each.adapter, encoding="utf-8")
        return Applied(each.file, "adapter", each.adapter.count("\n"), 0, 0, each.why, each.shared)
    if not path.is_file():
        raise ScenarioError(f"the tree has no `{each.file}`, on which there is a decision")
    if each.settings:
        return _set(path, each)
    before = path.read_bytes().decode("utf-8")
    text = before
    for item in each.replace:
        text = _replaced(each.file, text, item)
    added, _ = _difference(before, text)
    _require_few(each, added)
    for cut in each.delete:
        text = _deleted(each.file, text, cut)
    whole = _restored(root, each, text)
    path.write_bytes(whole.encode("utf-8"))
    total, removed = _difference(before, whole)
    kind = "restore" if each.restore else "delete" if each.delete else "replace"
    return Applied(
        each.file, kind, total, removed, total - added if each.restore else 0, each.why, each.shared
    )


def _set(path: Path, each: Decision) -> Applied:
    """Write settings into the fleet file of `argosy import`."""
    fleet = yaml.safe_load(path.read_bytes())
    for agent, settings in each.settings.items():
        if agent not in fleet["agents"]:
            raise ScenarioError(f"a decision has settings for `{agent}`, and the fleet has no such agent")
        fleet["agents"][agent].update(settings)
    path.write_text(yaml.safe_dump(fleet, sort_keys=False), encoding="utf-8")
    added = sum(len(settings) for settings in each.settings.values())
    _require_few(each, added)
    return Applied(each.file, "settings", added, 0, 0, each.why, each.shared)


def _require_few(each: Decision, added: int) -> None:
    if added > MAX_ADDED_LINES:
        raise ScenarioError(
            f"the decision on `{each.file}` adds {added} lines, and {MAX_ADDED_LINES} are allowed"
        )


def _difference(before: str, after: str) -> tuple[int, int]:
    """Return the numbers of added and removed lines."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    added = removed = 0
    for word, first, last, new_first, new_last in matcher.get_opcodes():
        if word != "equal":
            removed += last - first
            added += new_last - new_first
    return added, removed


def _replaced(file: str, text: str, item: Replace) -> str:
    found = text.count(item.old)
    if found != item.times:
        raise ScenarioError(
            f"`{file}` has {found} places that read `{item.old.strip()[:80]}`, not {item.times} as decided"
        )
    return text.replace(item.old, item.new)


def _deleted(file: str, text: str, cut: Delete) -> str:
    lines = text.splitlines(keepends=True)
    firsts = [at for at, line in enumerate(lines) if line.strip() == cut.first]
    if len(firsts) < cut.nth:
        raise ScenarioError(f"`{file}` has {len(firsts)} lines that read `{cut.first}`, not {cut.nth}")
    first = firsts[cut.nth - 1]
    last = next((at for at in range(first + 1, len(lines)) if lines[at].strip() == cut.until), None)
    if last is None:
        raise ScenarioError(f"`{file}` has no line `{cut.until}` behind line {first + 1}")
    return "".join(lines[:first] + lines[last:])


def _restored(root: Path, each: Decision, text: str) -> str:
    if each.restore is None:
        return text
    wanted = each.restore
    source = (root / wanted.source).read_text(encoding="utf-8")
    taken = [_body(source, wanted.source, name) for name in wanted.names]
    for old, new in wanted.renamed.items():
        taken = [re.sub(rf"\bself\.{re.escape(old)}\b", f"self.{new}", body) for body in taken]
    end = _end_of_class(text, each.file, wanted.into)
    lines = text.splitlines(keepends=True)
    return "".join(lines[:end]) + "".join(f"\n{body}" for body in taken) + "".join(lines[end:])


def _body(source: str, file: str, name: str) -> str:
    owner, _, method = name.partition(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == owner:
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name == method:
                    first = min([inner.lineno, *(each.lineno for each in inner.decorator_list)])
                    return "".join(source.splitlines(keepends=True)[first - 1 : inner.end_lineno])
    raise ScenarioError(f"`{file}` has no `{name}` to restore from")


def _end_of_class(text: str, file: str, name: str) -> int:
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == name and node.end_lineno:
            return node.end_lineno
    raise ScenarioError(f"`{file}` has no class `{name}` to restore into")


def summary(applied: Sequence[Applied]) -> list[dict[str, Any]]:
    """Return a summary of the applied entries for the JSON result."""
    return [msgspec.to_builtins(each) for each in applied]
