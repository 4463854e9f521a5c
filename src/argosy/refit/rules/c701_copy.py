"""A function or a class is one of several copies

They are the same up to names and constants: one becomes the other by renaming, and by writing other numbers
and texts. A fault that is mended in one stays in the others. Each copy is told, with the same `group`; how
many of a group are the same word for word is said too. Copies within copied classes and files are told with
these alone.

Left out: what has less than 24 statements and expressions or 5 lines, what only hands on or stores values,
classes without a method, and groups within one file that have less than 48 statements and expressions.

Instead: one function that all use, with what differs as its arguments.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from argosy.refit.facts.units import UNITS, Unit, Units, enclosing
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree

_LEAST_IN_ONE_FILE = 48
_SHOWN = 3


class Copy(NamedTuple):
    """A unit in its place. at: where among the units of its file."""

    path: str
    at: int
    unit: Unit


def clusters(tree: Tree) -> tuple[tuple[Copy, ...], ...]:
    """Return the groups of copies, each once, the largest first; of nested ones the outer."""
    files = tree.facts(UNITS)
    places: dict[bytes, list[tuple[str, int]]] = {}
    for path, units in files.items():
        for at, unit in enumerate(units):
            places.setdefault(unit.shape, []).append((path, at))
    # Most units have no copy: nothing is made for them.
    groups: dict[bytes, tuple[Copy, ...]] = {}
    for shape, held in places.items():
        if len(held) > 1:
            copies = tuple(Copy(path, at, files[path][at]) for path, at in held)
            if _is_group(copies):
                groups[shape] = copies
    found = [
        copies
        for copies in groups.values()
        if not all(_is_within(files[copy.path], copy.at, groups) for copy in copies)
    ]
    return tuple(sorted(found, key=lambda copies: -len(copies) * copies[0].unit.lines))


def _is_within(units: Units, at: int, groups: Container[bytes]) -> bool:
    """Return whether what a unit lies in has copies too."""
    return any(around.shape in groups for around in enclosing(units, at))


def _is_group(copies: Sequence[Copy]) -> bool:
    is_spread = any(copy.path != copies[0].path for copy in copies)
    return is_spread or copies[0].unit.size >= _LEAST_IN_ONE_FILE


def check(tree: Tree) -> Iterator[Finding]:
    """Tell each copy, with where others of its group are."""
    for copies in tree.derived(clusters):
        for copy in copies:
            yield _told(copy, copies)


def _told(copy: Copy, copies: tuple[Copy, ...]) -> Finding:
    unit = copy.unit
    others = [other for other in copies if other is not copy]
    alike = sum(other.unit.exact == unit.exact for other in others)
    what = f"`{unit.name}`" if unit.name else "this file"
    where = ", ".join(f"{other.path}:{other.unit.line}" for other in others[:_SHOWN])
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    words = "none" if not alike else "all" if alike == len(others) else str(alike)
    message = (
        f"{what} ({unit.lines} lines) is one of {len(copies)} copies up to names and constants, "
        f"{words} of the others word for word: {where}{more}"
    )
    group = f"C701-{unit.shape.hex()}"
    return Finding(copy.path, unit.line, unit.column, "", message, symbol=unit.name, group=group)


RULE = Rule(code="C701", title="copy", action="report", needs=(UNITS,), tree=check)

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
_VALUES = """\
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


def _loop(
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
    # One method of classes that differ, under other names.
    Case(
        files={
            "a.py": _loop("A", "_health_check_loop", "1000", mark=_MARK) + "    def more(self): return 1\n",
            "b.py": _loop("B", "answer", "5", mark=_MARK, more=_MORE),
        }
    ),
    # Whole classes: their methods are not told again.
    Case(
        files={
            "a.py": _loop("A", "f", "1", more=_MORE).replace("class A:", "class A:  # <--"),
            "b.py": _loop("B", "g", "'b'").replace("class B:", "class B:  # <--"),
        }
    ),
    # Whole files, told at their first line.
    Case(files={"a.py": "# <--\n" + _loop("A", "f", "1"), "b.py": "# <--\n\n" + _loop("B", "f", "2")}),
    # A third copy elsewhere brings all of them.
    Case(
        files={
            "a.py": "# <--\n" + _loop("A", "f", "1", mark=_MARK),
            "b.py": "# <--\n" + _loop("B", "f", "2", mark=_MARK),
            "c.py": _loop("C", "f", "3", mark=_MARK) + "    def more(self): return 1\n",
        }
    ),
)
MUST_NOT = (
    # Something else is done.
    Case(files={"a.py": _loop("A", "f", "1"), "b.py": _loop("B", "f", "1", pause="time.sleep(2 * B.t)")}),
    # Two names in one, the same name twice in the other.
    Case(
        files={
            "a.py": _loop("A", "f", "1"),
            "b.py": _loop("B", "f", "1").replace("self.b_socket.recv", "self.other.recv"),
        }
    ),
    Case(files={"a.py": _VALUES.format(name="A"), "b.py": "import b\n" + _VALUES.format(name="B")}),
    Case(_loop("A", "f", "1") + _loop("B", "g", "2") + _OTHER),
    Case(files={"a.py": "class A:\n    x: int\n    y: int = 1\n" * 9, "b.py": "class B:\n    x: str\n" * 9}),
    Case(files={"a/__init__.py": "", "b/__init__.py": ""}),
)
