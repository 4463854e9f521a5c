"""Interns the names that agents look up at their start, before anything else is loaded.

A lookup counts a reference to the name, and so does loading a file that contains it: a child copies the page
that holds the name. A name is allocated where it occurs first, scattered among the objects of packages; the
names of `cow_names.txt` are allocated here, side by side. `python -m argosy.engine.fork.cow_names` writes the
file from a warm-up run. A missing or superfluous name costs no more than it would without the file.

Imports little of the standard library and nothing else: a zygote loads it first.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` itself would allocate names
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType

NAMES_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cow_names.txt")
_interned: list[str] = []


def intern_names() -> None:
    """Intern the names of the file for the life of the process; without the file do nothing."""
    try:
        with open(NAMES_FILE, encoding="utf-8") as file:
            _interned.extend(map(sys.intern, file.read().split()))
    except OSError:
        return


def names_in_code(codes: Iterable[CodeType]) -> set[str]:
    """Return the names that this code looks up or defines; the interpreter has those of one letter."""
    found: set[str] = set()
    for code in codes:
        strings = (const for const in code.co_consts if isinstance(const, str))
        found.update(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, strings)
        found |= {code.co_name, code.co_qualname}
    return {name for name in found if len(name) > 1 and name.isprintable() and " " not in name}


def names_in_warmup() -> set[str]:
    """Return the names in the code of a warm-up run with all warmed packages."""
    from argosy.engine.fork.preloader import Preloader  # noqa: PLC0415 - names are interned before this loads
    from argosy.engine.fork.zygote import ALWAYS_LOADED  # noqa: PLC0415

    preloader = Preloader((), "")
    preloader.load([*ALWAYS_LOADED, "pydantic", "yaml", "psutil", "zmq"])
    return names_in_code(preloader.trace_warmup())


def main() -> None:
    """Write the file."""
    text = "".join(f"{name}\n" for name in sorted(names_in_warmup()))
    with open(NAMES_FILE, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
