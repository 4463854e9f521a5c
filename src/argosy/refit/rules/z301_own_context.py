"""A ZeroMQ context of its own

A context has an I/O thread, a thread that reaps sockets and file descriptors of its own; one for all of a
process does. Its `term()` waits for every socket that is open and for what they have not sent, so that each
own context is one more place where a process hangs at its end.

Found by what the name is imported as, not by its spelling: `from zmq import Context as C` is one, a module
`zmq` of other making is none, and `zmq.Context.instance()` is the shared one already.

Told besides: where the class itself goes out of sight (`default_factory=zmq.Context`, a `functools.partial`,
a dict, an attribute, a subclass), since whoever calls it there makes contexts. Where it is only asked for, in
`isinstance` or an annotation, it makes none. A name that stands for it, or for the module, is followed.

Instead: `argosy.wire.context()`, the process's context as a lease whose `term()` ends only what it opened.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.contextclass import ContextSite, find_context_class
from argosy.refit.facts.handedcontexts import HANDED, TAKEN, source_of
from argosy.refit.file import PythonFile
from argosy.refit.finding import Action, Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.sockets import find_sockets
from argosy.refit.tree import Tree

# What shows that its file takes more of a context than sockets and an end; the refit looks closer.
_MORE = (b"inproc:", b"AFFINITY", b"os.fork", b"multiprocessing")


def check(file: PythonFile) -> Iterator[Finding]:
    """Tell every call that makes a context, and every place where the class goes out of sight."""
    is_plain = not any(word in file.source.data for word in _MORE)
    for site in find_sockets(file).own:
        action: Action = "auto" if is_plain and _is_plain(site) else "review"
        yield file.finding(
            site.call,
            f"{_meant(site.call.func, '()', site.name)} is a context of its own",
            site.scope,
            hint="argosy.wire.context() leases the one of the process",
            action=action,
        )
    for out in find_context_class(file).handouts:
        yield file.finding(
            out.node,
            f"{_meant(out.source, '', out.name)} {out.told}: who calls it there makes contexts of its own",
            out.scope,
            hint="argosy.wire.context leases the one of the process",
        )


def _meant(written: ast.expr, called: str, name: str) -> str:
    """Return what is written, and behind it what it means where that is not the same."""
    text = ast.unparse(written)
    return f"`{text}{called}`" + ("" if text == name else f" ({name})")


def _is_plain(site: ContextSite) -> bool:
    arguments = [*site.call.args, *(keyword.value for keyword in site.call.keywords)]
    is_literal = all(isinstance(item, ast.Constant) and type(item.value) is int for item in arguments)
    is_threads = all(keyword.arg == "io_threads" for keyword in site.call.keywords)
    return site.name == "zmq.Context" and site.is_sure and len(arguments) < 2 and is_literal and is_threads


def link(tree: Tree, path: str) -> Iterator[Finding]:
    """Tell the same of a class, or a `zmq`, that comes by way of another module of the tree."""
    for item in tree.fact(TAKEN, path) or ():
        if home := source_of(tree, path, item.origin):
            told = f"{item.told}: who calls it there makes contexts" if item.told else "makes a context"
            yield Finding(
                path,
                item.line,
                item.column,
                "",
                f"`{item.written}`, pyzmq's by way of `{home}`, {told} of its own",
                symbol=item.symbol,
                hint="argosy.wire.context() leases the one of the process",
            )


RULE = Rule(
    code="Z301",
    title="own context",
    action="review",
    words=(b"zmq",),
    file=check,
    needs=(TAKEN,),
    sees=(HANDED,),
    link=link,
)

MUST = (
    Case("import zmq\ncontext = zmq.Context()  # <--\n"),
    Case("import zmq as z\n\ndef f():\n    return z.Context(1)  # <--\n"),
    Case("from zmq import Context as C\n\nclass A:\n    def __init__(self):\n        self.c = C()  # <--\n"),
    Case("import zmq.asyncio\n\nctx = zmq.asyncio.Context()  # <--\n"),
    Case("from zmq.asyncio import Context\nctx = Context()  # <--\n"),
    Case("try:\n    import zmq\nexcept ImportError:\n    zmq = None\nctx = zmq and zmq.Context()  # <--\n"),
    Case(
        "try:\n    import zmq.green as zmq\nexcept ImportError:\n    import zmq\nctx = zmq.Context()  # <--\n"
    ),
    Case("from zmq import *\nctx = Context()  # <--\n"),
    Case("def f():\n    import zmq\n    with zmq.Context() as ctx:  # <--\n        pass\n"),
    Case("import zmq\ndef f(ctx=zmq.Context()):  # <--\n    ctx = ctx or zmq.Context()  # <--\n"),
    Case("import zmq\nctx = zmq.sugar.context.Context()  # <--\n"),
    Case("import zmq\nCtx = zmq.Context\nfirst = Ctx()  # <--\nsecond = Ctx(1)  # <--\n"),
    Case("import zmq\ndef f():\n    make = mine = zmq.Context\n    return mine()  # <--\n", lines=(3, 4)),
    Case("from zmq import Context\nmake = Context if 1 else None\nctx = make()  # <--\n"),
    Case("import zmq\nctx = (zmq.Context or None)()  # <--\nother = zmq.Context[zmq.Socket]()  # <--\n"),
    Case("import zmq\nctx = getattr(zmq, 'Context')()  # <--\nother = vars(zmq)['Context']()  # <--\n"),
    Case("ctx = __import__('zmq').Context()  # <--\nother = __import__('zmq').asyncio.Context()  # <--\n"),
    Case("import importlib, sys\nz = importlib.import_module('zmq')\nctx = z.Context()  # <--\n"),
    Case("import sys\nctx = sys.modules['zmq'].Context()  # <--\n"),
    Case(
        "import zmq\nclass A:\n    lib = zmq\n    def f(self):\n        self.z = zmq\n"
        "        return self.z.Context(), self.lib.Context()  # <--\n"
    ),
    Case(
        "try:\n    from zmq.green import Context\nexcept ImportError:\n    from zmq import Context\n"
        "Context()  # <--\n"
    ),
    Case(
        "import zmq\nclass A:\n    context_class = zmq.Context  # <--\n"
        "    def f(self):\n        self.context_class()\n"
    ),
    Case(
        "import zmq\nclass A:\n    def __init__(self, make=zmq.Context):  # <--\n        self.make = make\n"
    ),
    Case(
        "import zmq\nfrom dataclasses import dataclass, field\n@dataclass\nclass A:\n"
        "    a: zmq.Context = field(default_factory=zmq.Context)  # <--\n"
        "    b: zmq.Context = field(default_factory=lambda: zmq.Context())  # <--\n"
    ),
    Case("import functools, zmq\nmake = functools.partial(zmq.Context, 4)  # <--\nmake()\n"),
    Case(
        "import zmq\nmakers = {'ctx': zmq.Context}  # <--\nmakers['ctx']()\n"
        "list(map(zmq.Context, [1]))  # <--\n"
    ),
    Case("import zmq\ndef kind():\n    return zmq.Context  # <--\nkind()()\n"),
    Case("import zmq\nclass C(zmq.Context):  # <--\n    pass\nC()\n"),
    Case(
        "import zmq\nfrom mock import patch\nwith patch('zmq.Context') as made:\n"
        "    kind = zmq.Context  # <--\n"
    ),
    Case("from unittest.mock import Mock\nimport zmq\nMock(wraps=zmq.Context)  # <--\n"),
    Case(
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
    Case("import gevent_zmq as zmq\nctx = zmq.Context()\n"),
    Case("import zmq\nctx = zmq.Context.instance()\n"),
    Case("import zmq, decimal\nctx = decimal.Context()\nfrom decimal import Context\nContext()\n"),
    Case("import zmq\nimport jinja2\n\nclass Context:\n    pass\n\nc = Context()\n"),
    Case(
        "import zmq\n\nclass A:\n    def make(self) -> zmq.Context:\n        text = 'zmq.Context()'\n"
        "        # zmq.Context()\n"
    ),
    Case("from .zmq import Context\nctx = Context()\n"),
    Case("from mine import zmq\nctx = zmq.Context()\n"),
    Case(
        files={
            "a.py": "import gevent_zmq as zmq\nclass Context: ...\n",
            "b.py": "from a import zmq, Context\nctx = zmq.Context(), Context()\n",
        }
    ),
    Case(
        "import zmq\nfrom mock import patch\nwith patch('zmq.Context') as made:\n    made.assert_called()\n"
    ),
    Case(
        "import typing, zmq\nfrom typing import Optional, TypeVar\n"
        "def f(c: zmq.Context | None) -> list[zmq.Context]:\n"
        "    d: 'zmq.Context' = c\n    return typing.cast(zmq.Context, d)\n"
        "T = TypeVar('T', bound=zmq.Context)\n"
        "Many = Optional[zmq.Context]\nBoth = typing.Dict[str, zmq.Context]\n"
    ),
    Case(
        "import zmq\ndef f(c, kinds):\n"
        "    if isinstance(c, zmq.Context) or issubclass(type(c), (zmq.Context, int)):\n"
        "        return type(c) is zmq.Context or type(c) in (zmq.Context,) or kinds[zmq.Context]\n"
        "    match c:\n        case zmq.Context():\n            return hasattr(zmq.Context, 'f')\n"
    ),
    Case(
        "from unittest.mock import MagicMock, create_autospec, patch\nimport zmq\n"
        "made = MagicMock(spec=zmq.Context), MagicMock(zmq.Context), create_autospec(zmq.Context)\n"
        "with patch.object(zmq.Context, 'term'), patch('a.zmq.Context', autospec=True):\n    pass\n"
    ),
    Case("import zmq\nfrom traitlets import Instance\nclass A:\n    context = Instance(zmq.Context)\n"),
    Case(
        "import zmq\nif zmq.Context is None or not zmq.Context:\n"
        "    print(f'{zmq.Context}', zmq.Context.__name__)\n"
    ),
    Case("import sys\nctx = sys.modules['decimal'].Context()\nother = __import__('decimal').Context()\n"),
    Case(
        "import decimal, zmq\nclass A:\n    lib = decimal\n"
        "    def f(self):\n        return self.lib.Context()\n"
    ),
    Case("import zmq\nimport argosy.wire\nctx = argosy.wire.context()\n"),
    Case("import zmq\ndef f(zmq):\n    return zmq.Context()\n"),
)
