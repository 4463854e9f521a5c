"""A function or a class is one of several copies

They differ only in names and constants: renaming, and changing numbers and strings, turns one into the other.
A bug that is fixed in one copy stays in the others. Each copy is reported, with the same `group` and the
number of identical copies. Copies inside copied classes and files are reported only with these.

Not reported: fewer than 24 statements and expressions or 5 lines, bodies that only pass on or store values,
classes without a method, and groups within one file with fewer than 48 statements and expressions.

Instead: one function for all callers, with the differences as its arguments.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from argosy.refit.analysis.facts.code_fragments import (
    CODE_FRAGMENTS,
    CodeFragment,
    CodeFragments,
    iter_enclosing,
)
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree

_MIN_NODES_IN_ONE_FILE = 48
_MAX_SHOWN = 3


class FragmentCopy(NamedTuple):
    """A fragment and where it is. position: its index among the fragments of its file."""

    path: str
    position: int
    fragment: CodeFragment


def find_copy_groups(tree: SourceTree) -> tuple[tuple[FragmentCopy, ...], ...]:
    """Return each group of copies once, the largest first; of nested groups only the outer."""
    files = tree.facts(CODE_FRAGMENTS)
    locations_by_shape: dict[bytes, list[tuple[str, int]]] = {}
    for path, fragments in files.items():
        for index, fragment in enumerate(fragments):
            locations_by_shape.setdefault(fragment.shape_digest, []).append((path, index))
    # Most fragments have no copy, so copies are built for groups only.
    groups: dict[bytes, tuple[FragmentCopy, ...]] = {}
    for shape, locations in locations_by_shape.items():
        if len(locations) > 1:
            copies = tuple(FragmentCopy(path, at, files[path][at]) for path, at in locations)
            if _is_group(copies):
                groups[shape] = copies
    found = [
        copies
        for copies in groups.values()
        if not all(_is_nested_copy(files[copy.path], copy.position, groups) for copy in copies)
    ]
    return tuple(sorted(found, key=lambda copies: -len(copies) * copies[0].fragment.line_count))


def _is_nested_copy(fragments: CodeFragments, index: int, groups: Container[bytes]) -> bool:
    """Return whether a fragment that contains this one has copies too."""
    return any(around.shape_digest in groups for around in iter_enclosing(fragments, index))


def _is_group(copies: Sequence[FragmentCopy]) -> bool:
    is_spread = any(copy.path != copies[0].path for copy in copies)
    return is_spread or copies[0].fragment.node_count >= _MIN_NODES_IN_ONE_FILE


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report each copy, with the locations of the others in its group."""
    for copies in tree.compute_once(find_copy_groups):
        for copy in copies:
            yield _make_finding(copy, copies)


def _make_finding(copy: FragmentCopy, copies: tuple[FragmentCopy, ...]) -> Finding:
    fragment = copy.fragment
    others = [other for other in copies if other is not copy]
    identical_count = sum(other.fragment.exact_digest == fragment.exact_digest for other in others)
    subject = f"`{fragment.name}`" if fragment.name else "this file"
    locations = ", ".join(f"{other.path}:{other.fragment.line}" for other in others[:_MAX_SHOWN])
    more = f" and {len(others) - _MAX_SHOWN} more" if len(others) > _MAX_SHOWN else ""
    identical_text = (
        "none" if not identical_count else "all" if identical_count == len(others) else str(identical_count)
    )
    message = (
        f"{subject} ({fragment.line_count} lines) is one of {len(copies)} copies up to names and constants, "
        f"{identical_text} of the others identical: {locations}{more}"
    )
    group = f"C701-{fragment.shape_digest.hex()}"
    return Finding(copy.path, fragment.line, fragment.column, "", message, symbol=fragment.name, group=group)


RULE = Rule(
    code="C701",
    title="duplicate code",
    action="report",
    fact_kinds=(CODE_FRAGMENTS,),
    check_tree=check,
)

_LOOP = """\
import time
class {name}:
    kept = {constant}
    def {function}(self):{mark}
        while self.running:
            if self.{socket}.poll({constant}):
                self.{socket}.recv()
                self.{socket}.send_json(self.status())
            {pause}
"""
_PAUSE = "time.sleep(0.1)"
_STORING_CLASS = """\
class {name}(Base):
    def __init__(self, a, b, c, d, e, f, g, h):
        self.{name}_a = a
        self.{name}_b = b
        self.{name}_c = c
        self.{name}_d = d
        self.{name}_e = e
        self.{name}_f = f
        self.{name}_g = g
        self.{name}_h = h
"""


def _loop_source(
    name: str, function: str, constant: str, pause: str = _PAUSE, mark: str = "", more: str = ""
) -> str:
    socket = f"{name.lower()}_socket"
    return more + _LOOP.format(
        name=name, function=function, constant=constant, socket=socket, pause=pause, mark=mark
    )


_MARK = "  # <--"
_MORE = "import sys\n"
_OTHER = "\nclass Z:\n    def g(self):\n        return [a for a in self if a]\n"

MUST = (
    # One method of different classes, under different names.
    RuleCase(
        files={
            "a.py": _loop_source("A", "_health_check_loop", "1000", mark=_MARK)
            + "    def more(self): return 1\n",
            "b.py": _loop_source("B", "answer", "5", mark=_MARK, more=_MORE),
        }
    ),
    # Whole classes: their methods are not reported again.
    RuleCase(
        files={
            "a.py": _loop_source("A", "f", "1", more=_MORE).replace("class A:", "class A:  # <--"),
            "b.py": _loop_source("B", "g", "'b'").replace("class B:", "class B:  # <--"),
        }
    ),
    # Whole files, reported at their first line.
    RuleCase(
        files={
            "a.py": "# <--\n" + _loop_source("A", "f", "1"),
            "b.py": "# <--\n\n" + _loop_source("B", "f", "2"),
        }
    ),
    # A third copy elsewhere: the whole group is reported.
    RuleCase(
        files={
            "a.py": "# <--\n" + _loop_source("A", "f", "1", mark=_MARK),
            "b.py": "# <--\n" + _loop_source("B", "f", "2", mark=_MARK),
            "c.py": _loop_source("C", "f", "3", mark=_MARK) + "    def more(self): return 1\n",
        }
    ),
)
MUST_NOT = (
    # The bodies do different things.
    RuleCase(
        files={
            "a.py": _loop_source("A", "f", "1"),
            "b.py": _loop_source("B", "f", "1", pause="time.sleep(2 * B.t)"),
        }
    ),
    # Two names in one, the same name twice in the other.
    RuleCase(
        files={
            "a.py": _loop_source("A", "f", "1"),
            "b.py": _loop_source("B", "f", "1").replace("self.b_socket.recv", "self.other.recv"),
        }
    ),
    RuleCase(
        files={
            "a.py": _STORING_CLASS.format(name="A"),
            "b.py": "import b\n" + _STORING_CLASS.format(name="B"),
        }
    ),
    RuleCase(_loop_source("A", "f", "1") + _loop_source("B", "g", "2") + _OTHER),
    RuleCase(
        files={"a.py": "class A:\n    x: int\n    y: int = 1\n" * 9, "b.py": "class B:\n    x: str\n" * 9}
    ),
    RuleCase(files={"a/__init__.py": "", "b/__init__.py": ""}),
)
