"""A ZeroMQ context of its own

Each context has an I/O thread, a thread that reaps sockets, and file descriptors; one per process is enough.
Its `term()` waits for every open socket and its unsent messages, so each own context is one more place where
a process can hang at its end.

Found by what the name is imported as, not by its spelling: `from zmq import Context as C` is found, another
module called `zmq` is not, and `zmq.Context.instance()` is the shared context.

Also reported: places where the class itself escapes (`default_factory=zmq.Context`, a `functools.partial`, a
dict, an attribute, a subclass), since a call elsewhere then creates contexts. Uses that create no context,
such as `isinstance` and annotations, are not reported. Names that stand for the class or the module are
followed.

Instead: `argosy.wire.context()`, a lease on the process's context, whose `term()` closes only what was opened
through it.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

import msgspec

from argosy.refit.analysis.context_class import (
    ContextCreation,
    find_context_class_uses,
    find_foreign_context_class_uses,
)
from argosy.refit.analysis.context_names import find_reexports
from argosy.refit.analysis.socket_uses import find_sockets
from argosy.refit.core.fact import FactKind
from argosy.refit.core.finding import Finding, FindingAction
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.refit.core.source_tree import SourceTree

# Such files may use features of a context that a lease lacks; the refit checks them in detail.
_REVIEW_MARKERS = (b"inproc:", b"AFFINITY", b"os.fork", b"multiprocessing")


def check(file: PythonFile) -> Iterator[Finding]:
    """Report every call that creates a context, and every place where the class escapes."""
    is_plain = not any(word in file.source.data for word in _REVIEW_MARKERS)
    for site in find_sockets(file).own_contexts:
        action: FindingAction = "auto" if is_plain and _is_plain(site) else "review"
        yield file.make_finding(
            site.call,
            f"{_describe_name(site.call.func, '()', site.name)} is a context of its own",
            site.scope,
            hint="argosy.wire.context() returns a lease on the process's context",
            action=action,
        )
    for escape in find_context_class_uses(file).escapes:
        written = _describe_name(escape.source, "", escape.name)
        yield file.make_finding(
            escape.node,
            f"{written} {escape.description}: calls there create own contexts",
            escape.scope,
            hint="argosy.wire.context returns a lease on the process's context",
        )


def _describe_name(expression: ast.expr, suffix: str, name: str) -> str:
    """Return the source of an expression, followed by its full name if that differs."""
    text = ast.unparse(expression)
    return f"`{text}{suffix}`" + ("" if text == name else f" ({name})")


def _is_plain(site: ContextCreation) -> bool:
    arguments = [*site.call.args, *(keyword.value for keyword in site.call.keywords)]
    is_literal = all(isinstance(item, ast.Constant) and type(item.value) is int for item in arguments)
    is_threads = all(keyword.arg == "io_threads" for keyword in site.call.keywords)
    return site.name == "zmq.Context" and site.is_sure and len(arguments) < 2 and is_literal and is_threads


def check_links(tree: SourceTree, path: str) -> Iterator[Finding]:
    """Report the same for a class, or a `zmq`, that comes from another module of the tree."""
    for item in tree.fact(FOREIGN_CONTEXT_USES, path) or ():
        if home := find_reexporting_module(tree, path, item.origin):
            outcome = (
                f"{item.description}: calls there create own contexts"
                if item.description
                else "creates an own context"
            )
            yield Finding(
                path,
                item.line,
                item.column,
                "",
                f"`{item.source}`, pyzmq's through `{home}`, {outcome}",
                symbol=item.symbol,
                hint="argosy.wire.context() returns a lease on the process's context",
            )


# -- re-exports of the context class -----------------------------------------------------------------


_MAX_CHAIN = 8  # the length of a chain of re-exporting modules


class ForeignContextUse(msgspec.Struct, frozen=True, array_like=True):
    """One place that creates a context, or lets the class escape, if `origin` resolves to pyzmq.

    description: what is done there, empty for a call. source: the class as written there.
    """

    origin: str
    line: int
    column: int
    symbol: str
    source: str
    description: str


def collect_foreign_uses(file: PythonFile) -> tuple[ForeignContextUse, ...] | None:
    class_uses = find_foreign_context_class_uses(file)
    uses = [(site.call, site, "") for site in class_uses.creations]
    uses += [(each.node, each, each.description) for each in class_uses.escapes]  # type: ignore[misc]
    found = tuple(
        ForeignContextUse(
            item.name,
            node.lineno,
            file.parsed.column(node),
            item.scope.qualified_name(),
            ast.unparse(item.source),
            description,
        )
        for node, item, description in uses
    )
    return found or None


def collect_reexports(file: PythonFile) -> dict[str, str] | None:
    return find_reexports(file) or None


FOREIGN_CONTEXT_USES: FactKind[tuple[ForeignContextUse, ...]] = FactKind(
    "foreign context uses", tuple[ForeignContextUse, ...], collect_foreign_uses
)
CONTEXT_REEXPORTS: FactKind[dict[str, str]] = FactKind("context reexports", dict[str, str], collect_reexports)


def find_reexporting_module(tree: SourceTree, path: str, origin: str) -> str:
    """Return the path of the module that `origin` is imported from, if it resolves to pyzmq; else empty.

    path: of the importing file. origin: such as `mine.compat.zmq.Context`, or with leading dots.
    """
    first_path = ""
    for _ in range(_MAX_CHAIN):
        module_path, rest = _split_origin(tree, path, origin)
        reexports = (tree.fact(CONTEXT_REEXPORTS, module_path) or {}) if module_path else {}
        name, _, inner = rest.partition(".")
        if name not in reexports:
            return ""
        first_path = first_path or module_path
        path, origin = module_path, f"{reexports[name]}.{inner}" if inner else reexports[name]
        if origin.startswith("zmq."):
            return first_path
    return ""


def _split_origin(tree: SourceTree, path: str, origin: str) -> tuple[str, str]:
    """Return the longest part of a dotted name that is a file of the tree, and the rest of the name."""
    dots = len(origin) - len(origin.lstrip("."))
    parts = origin[dots:].split(".")
    for end in range(len(parts) - 1, -1 if dots else 0, -1):
        module = ".".join(parts[:end])
        found = _find_relative(tree, path, dots, module) if dots else _find_absolute(tree, path, module)
        if found:
            return found, ".".join(parts[end:])
    return "", ""


def _find_absolute(tree: SourceTree, path: str, module: str) -> str:
    found = tree.module_finder(path).find(module)
    return tree.relative_path(found.path) if found is not None and found.kind == "source" else ""


def _find_relative(tree: SourceTree, path: str, dots: int, module: str) -> str:
    directory = path
    for _ in range(dots):
        directory = os.path.dirname(directory)
    stem = "/".join(part for part in (directory, *module.split(".")) if part)
    candidates = (f"{stem}.py", f"{stem}/__init__.py") if stem else ("__init__.py",)
    known = tree.compute_once(_path_set)
    return next((each for each in candidates if each in known), "")


def _path_set(tree: SourceTree) -> frozenset[str]:
    return frozenset(tree.paths)


RULE = Rule(
    code="Z301",
    title="own context",
    action="review",
    required_words=(b"zmq",),
    check_file=check,
    fact_kinds=(FOREIGN_CONTEXT_USES,),
    shared_fact_kinds=(CONTEXT_REEXPORTS,),
    check_links=check_links,
)

MUST = (
    RuleCase("import zmq\ncontext = zmq.Context()  # <--\n"),
    RuleCase("import zmq as z\n\ndef f():\n    return z.Context(1)  # <--\n"),
    RuleCase(
        "from zmq import Context as C\n\nclass A:\n    def __init__(self):\n        self.c = C()  # <--\n"
    ),
    RuleCase("import zmq.asyncio\n\nctx = zmq.asyncio.Context()  # <--\n"),
    RuleCase("from zmq.asyncio import Context\nctx = Context()  # <--\n"),
    RuleCase(
        "try:\n    import zmq\nexcept ImportError:\n    zmq = None\nctx = zmq and zmq.Context()  # <--\n"
    ),
    RuleCase(
        "try:\n    import zmq.green as zmq\nexcept ImportError:\n    import zmq\nctx = zmq.Context()  # <--\n"
    ),
    RuleCase("from zmq import *\nctx = Context()  # <--\n"),
    RuleCase("def f():\n    import zmq\n    with zmq.Context() as ctx:  # <--\n        pass\n"),
    RuleCase("import zmq\ndef f(ctx=zmq.Context()):  # <--\n    ctx = ctx or zmq.Context()  # <--\n"),
    RuleCase("import zmq\nctx = zmq.sugar.context.Context()  # <--\n"),
    RuleCase("import zmq\nCtx = zmq.Context\nfirst = Ctx()  # <--\nsecond = Ctx(1)  # <--\n"),
    RuleCase(
        "import zmq\ndef f():\n    make = mine = zmq.Context\n    return mine()  # <--\n",
        expected_lines=(3, 4),
    ),
    RuleCase("from zmq import Context\nmake = Context if 1 else None\nctx = make()  # <--\n"),
    RuleCase("import zmq\nctx = (zmq.Context or None)()  # <--\nother = zmq.Context[zmq.Socket]()  # <--\n"),
    RuleCase("import zmq\nctx = getattr(zmq, 'Context')()  # <--\nother = vars(zmq)['Context']()  # <--\n"),
    RuleCase(
        "ctx = __import__('zmq').Context()  # <--\nother = __import__('zmq').asyncio.Context()  # <--\n"
    ),
    RuleCase("import importlib, sys\nz = importlib.import_module('zmq')\nctx = z.Context()  # <--\n"),
    RuleCase("import sys\nctx = sys.modules['zmq'].Context()  # <--\n"),
    RuleCase(
        "import zmq\nclass A:\n    lib = zmq\n    def f(self):\n        self.z = zmq\n"
        "        return self.z.Context(), self.lib.Context()  # <--\n"
    ),
    RuleCase(
        "try:\n    from zmq.green import Context\nexcept ImportError:\n    from zmq import Context\n"
        "Context()  # <--\n"
    ),
    RuleCase(
        "import zmq\nclass A:\n    context_class = zmq.Context  # <--\n"
        "    def f(self):\n        self.context_class()\n"
    ),
    RuleCase(
        "import zmq\nclass A:\n    def __init__(self, make=zmq.Context):  # <--\n        self.make = make\n"
    ),
    RuleCase(
        "import zmq\nfrom dataclasses import dataclass, field\n@dataclass\nclass A:\n"
        "    a: zmq.Context = field(default_factory=zmq.Context)  # <--\n"
        "    b: zmq.Context = field(default_factory=lambda: zmq.Context())  # <--\n"
    ),
    RuleCase("import functools, zmq\nmake = functools.partial(zmq.Context, 4)  # <--\nmake()\n"),
    RuleCase(
        "import zmq\nmakers = {'ctx': zmq.Context}  # <--\nmakers['ctx']()\n"
        "list(map(zmq.Context, [1]))  # <--\n"
    ),
    RuleCase("import zmq\ndef kind():\n    return zmq.Context  # <--\nkind()()\n"),
    RuleCase("import zmq\nclass C(zmq.Context):  # <--\n    pass\nC()\n"),
    RuleCase(
        "import zmq\nfrom mock import patch\nwith patch('zmq.Context') as made:\n"
        "    kind = zmq.Context  # <--\n"
    ),
    RuleCase("from unittest.mock import Mock\nimport zmq\nMock(wraps=zmq.Context)  # <--\n"),
    RuleCase(
        files={
            "a/__init__.py": "try:\n    import zmq\nexcept ImportError:\n    zmq = None\n",
            "a/kinds.py": "from zmq import Context\n",
            "a/far.py": "from a import zmq\nctx = zmq.Context()  # <--\n",
            "a/near.py": "from . import zmq\nfrom .kinds import Context as C\n"
            "made = zmq.Context(), C()  # <--\nmakers = {'c': C}  # <--\ndef f(c: C): ...\n",
            "b.py": "import a.far\nctx = a.far.zmq.Context()  # <--\nother = a.kinds.Context()  # <--\n",
        }
    ),
)
MUST_NOT = (
    RuleCase("import gevent_zmq as zmq\nctx = zmq.Context()\n"),
    RuleCase("import zmq\nctx = zmq.Context.instance()\n"),
    RuleCase("import zmq, decimal\nctx = decimal.Context()\nfrom decimal import Context\nContext()\n"),
    RuleCase("import zmq\nimport jinja2\n\nclass Context:\n    pass\n\nc = Context()\n"),
    RuleCase(
        "import zmq\n\nclass A:\n    def make(self) -> zmq.Context:\n        text = 'zmq.Context()'\n"
        "        # zmq.Context()\n"
    ),
    RuleCase("from .zmq import Context\nctx = Context()\n"),
    RuleCase("from mine import zmq\nctx = zmq.Context()\n"),
    RuleCase(
        files={
            "a.py": "import gevent_zmq as zmq\nclass Context: ...\n",
            "b.py": "from a import zmq, Context\nctx = zmq.Context(), Context()\n",
        }
    ),
    RuleCase(
        "import zmq\nfrom mock import patch\nwith patch('zmq.Context') as made:\n    made.assert_called()\n"
    ),
    RuleCase(
        "import typing, zmq\nfrom typing import Optional, TypeVar\n"
        "def f(c: zmq.Context | None) -> list[zmq.Context]:\n"
        "    d: 'zmq.Context' = c\n    return typing.cast(zmq.Context, d)\n"
        "T = TypeVar('T', bound=zmq.Context)\n"
        "Many = Optional[zmq.Context]\nBoth = typing.Dict[str, zmq.Context]\n"
    ),
    RuleCase(
        "import zmq\ndef f(c, kinds):\n"
        "    if isinstance(c, zmq.Context) or issubclass(type(c), (zmq.Context, int)):\n"
        "        return type(c) is zmq.Context or type(c) in (zmq.Context,) or kinds[zmq.Context]\n"
        "    match c:\n        case zmq.Context():\n            return hasattr(zmq.Context, 'f')\n"
    ),
    RuleCase(
        "from unittest.mock import MagicMock, create_autospec, patch\nimport zmq\n"
        "made = MagicMock(spec=zmq.Context), MagicMock(zmq.Context), create_autospec(zmq.Context)\n"
        "with patch.object(zmq.Context, 'term'), patch('a.zmq.Context', autospec=True):\n    pass\n"
    ),
    RuleCase("import zmq\nfrom traitlets import Instance\nclass A:\n    context = Instance(zmq.Context)\n"),
    RuleCase(
        "import zmq\nif zmq.Context is None or not zmq.Context:\n"
        "    print(f'{zmq.Context}', zmq.Context.__name__)\n"
    ),
    RuleCase("import sys\nctx = sys.modules['decimal'].Context()\nother = __import__('decimal').Context()\n"),
    RuleCase(
        "import decimal, zmq\nclass A:\n    lib = decimal\n"
        "    def f(self):\n        return self.lib.Context()\n"
    ),
    RuleCase("import zmq\nimport argosy.wire\nctx = argosy.wire.context()\n"),
    RuleCase("import zmq\ndef f(zmq):\n    return zmq.Context()\n"),
)
