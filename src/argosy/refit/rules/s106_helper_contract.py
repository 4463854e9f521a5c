"""A helper fails for what its callers ask of it

Two forms, each told once at the helper, with its callers counted. It raises for a text that callers hand
it: `if kind in self._folders: return …`, else `raise`, and `"agents"` is no key. Or what it returns, by its
annotation or its `return`s, has no such attribute: `as_posix` of text, `get` of a tuple.

Instead: decide once, at the helper. Where all that fails is a change of sys.path, or text that is used as a
path, `argosy repair` proposes for the callers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from argosy.refit.contract import Accepted, Helpers, accepted
from argosy.refit.facts.helpers import DEMANDS, HELPERS, Asked
from argosy.refit.file import module_name
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree

_OF_TYPES = {kind.__name__: frozenset(dir(kind)) for kind in (str, dict, list, tuple)}


def check(tree: Tree) -> Iterator[Finding]:
    """Tell each text and each attribute that a helper fails for, once, with the number of places."""
    refused: dict[tuple[str, str, int], dict[str, list[str]]] = {}
    lacking: dict[tuple[str, str, int, str], dict[str, list[str]]] = {}
    for path, demands in tree.facts(DEMANDS).items():
        for asked in demands.texts:
            takes = _accepted(tree, asked)
            if takes is not None and asked.word not in takes.keys:
                home = _path(tree, takes.module)
                words = refused.setdefault((home, takes.name, takes.line), {})
                words.setdefault(asked.word, []).append(path)
        for asked in demands.attributes:
            found = _helper(tree, asked)
            if found is not None and found[3] and asked.word not in _OF_TYPES[found[3]]:
                lacking.setdefault(found, {}).setdefault(asked.word, []).append(path)
    for (home, name, line), words in sorted(refused.items()):
        for word, paths in sorted(words.items()):
            said = f"`{name}` raises for `{word}`, which {_counted(paths)} hand it"
            yield Finding(home, line, 1, "", said, symbol=f"{name}:{word}")
    for (home, name, line, gives), words in sorted(lacking.items()):
        for word, paths in sorted(words.items()):
            said = f"`{name}` returns {gives}, which has no `{word}`: {_counted(paths)} read it"
            yield Finding(home, line, 1, "", said, symbol=f"{name}.{word}")


def _counted(paths: list[str]) -> str:
    files = len(set(paths))
    calls = "1 call" if len(paths) == 1 else f"{len(paths)} calls"
    return f"{calls} in {files} file{'s' if files > 1 else ''}"


def _split(tree: Tree, called: str) -> tuple[str, str] | None:
    """Return module and name of what an origin means, the longest module of the tree that it begins with."""
    parts = called.split(".")
    for count in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:count])
        if module in tree.derived(_modules):
            return module, ".".join(parts[count:])
    return None


def _accepted(tree: Tree, asked: Asked) -> Accepted | None:
    place = _split(tree, asked.called)
    if place is None:
        return None

    def look(module: str) -> Helpers | None:
        return tree.fact(HELPERS, _path(tree, module))

    def follow(module: str, name: str) -> tuple[str, str] | None:
        own = look(module)
        if own is not None and (name in own.functions or name in own.objects or _is_class(own, name)):
            return module, name
        return None

    return accepted(look, follow, *place)


def _is_class(helpers: Helpers, name: str) -> bool:
    return any(function.startswith(f"{name}.") for function in helpers.functions)


def _helper(tree: Tree, asked: Asked) -> tuple[str, str, int, str] | None:
    place = _split(tree, asked.called)
    helpers = tree.fact(HELPERS, _path(tree, place[0])) if place is not None else None
    made = helpers.functions.get(place[1]) if place is not None and helpers is not None else None
    if place is None or made is None:
        return None
    return _path(tree, place[0]), place[1], made.line, made.gives


def _modules(tree: Tree) -> Mapping[str, str]:
    """Return the path of each module that has helpers, by its name from the root."""
    return {module_name(path): path for path in tree.facts(HELPERS)}


def _path(tree: Tree, module: str) -> str:
    return tree.derived(_modules).get(module, "")


RULE = Rule(
    code="S106",
    title="helper that fails its callers",
    action="review",
    needs=(HELPERS, DEMANDS),
    tree=check,
)

_TABLE = (
    "class Paths:\n    def __init__(self):\n        self.known = {'logs': 1}\n\n"
    "    def get(self, kind):  # <--\n        if kind in self.known:\n            return self.known[kind]\n"
    "        raise ValueError(kind)\n\n\npaths = Paths()\n\n\ndef get(kind):\n    return paths.get(kind)\n"
)
MUST = (
    Case(files={"lib.py": _TABLE, "main.py": "from lib import get\nget('logs')\nget('data')\n"}),
    Case(
        files={
            "lib.py": "def root() -> str:  # <--\n    return ROOT\n",
            "main.py": "from lib import root\nhere = root()\nprint(here.as_posix(), here.upper())\n",
        }
    ),
    Case(
        files={
            "lib.py": "def place(name):  # <--\n    return name, 1\n",
            "main.py": "import lib\n\ndef f():\n    found = lib.place('x')\n    return found.get('port')\n",
        }
    ),
)
MUST_NOT = (
    Case(files={"lib.py": _TABLE.replace("  # <--", ""), "main.py": "from lib import get\nget('logs')\n"}),
    Case(
        files={
            "lib.py": "KNOWN = make()\n\n\n"
            "def get(kind):\n    if kind in KNOWN:\n        return 1\n    raise ValueError\n",
            "main.py": "from lib import get\nget('data')\n",
        }
    ),
    Case(
        files={
            "lib.py": "def place(name):\n    return (name, 1) if name else {}\n",
            "main.py": "from lib import place\nfound = place('x')\nfound.get('port')\n",
        }
    ),
    Case(
        files={
            "lib.py": "def root() -> str:\n    return ROOT\n",
            "main.py": "from lib import root\nhere = root()\nhere = other(here)\nprint(here.as_posix())\n",
        }
    ),
)
