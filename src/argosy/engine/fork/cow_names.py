"""The names that agents look up when they start, laid side by side before anything else is loaded.

A lookup counts a reference to the name, as does loading a file that says it: a child copies the page on which
the name lies. Names lie where they were met first, among all that packages bring along; those of `cow_names.txt`
are met first here. It is written by `python -m argosy.engine.fork.cow_names`, from a first life: a name that is
missing there, or that nothing looks up any more, costs no more than it would without.

Standard library alone, and little of it: a zygote loads it first of all.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` itself would bring names along
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType

NAMES_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cow_names.txt")
_interned: list[str] = []


def intern_names() -> None:
    """Intern the names of the file, for as long as the process lives; without the file nothing is done."""
    try:
        with open(NAMES_FILE, encoding="utf-8") as file:
            _interned.extend(map(sys.intern, file.read().split()))
    except OSError:
        return


def names_in_code(codes: Iterable[CodeType]) -> set[str]:
    """Return the names that this code looks up or has; those of one letter are the interpreter's own."""
    found: set[str] = set()
    for code in codes:
        words = (word for word in code.co_consts if isinstance(word, str))
        found.update(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, words)
        found |= {code.co_name, code.co_qualname}
    return {name for name in found if len(name) > 1 and name.isprintable() and " " not in name}


def names_in_warmup() -> set[str]:
    """Return the names of a first life, with the packages that are warmed for it."""
    from argosy.engine.fork.preloader import Preloader  # noqa: PLC0415 - a zygote lays the names before it loads this
    from argosy.engine.fork.zygote import ALWAYS_LOADED  # noqa: PLC0415

    preloader = Preloader((), "")
    preloader.load([*ALWAYS_LOADED, "pydantic", "yaml", "psutil", "zmq"])
    return names_in_code(preloader.trace_warmup())


def main() -> None:
    """Write the file anew."""
    text = "".join(f"{name}\n" for name in sorted(names_in_warmup()))
    with open(NAMES_FILE, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
