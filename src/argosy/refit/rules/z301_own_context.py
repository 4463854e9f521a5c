"""A ZeroMQ context of its own

A context has an I/O thread, a thread that reaps sockets and file descriptors of its own; one for all of a
process does. Its `term()` waits for every socket that is open and for what they have not sent, so that each
own context is one more place where a process hangs at its end.

Found by what the name is imported as, not by its spelling: `from zmq import Context as C` is one, a module
`zmq` of other making is none, and `zmq.Context.instance()` is the shared one already.

Instead: `argosy.wire.context()`, the process's context as a lease whose `term()` ends only what it opened.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.file import PythonFile
from argosy.refit.finding import Action, Finding
from argosy.refit.pyzmq import ContextSite
from argosy.refit.rule import Case, Rule
from argosy.refit.sockets import find_sockets

# What shows that its file takes more of a context than sockets and an end; the refit looks closer.
_MORE = (b"inproc:", b"AFFINITY", b"os.fork", b"multiprocessing")


def check(file: PythonFile) -> Iterator[Finding]:
    """Tell every call that makes a context."""
    is_plain = not any(word in file.source.data for word in _MORE)
    for site in find_sockets(file).own:
        action: Action = "auto" if is_plain and _is_plain(site) else "review"
        written = ast.unparse(site.call.func)
        means = "" if written == site.name else f" ({site.name})"
        yield file.finding(
            site.call,
            f"`{written}()`{means} is a context of its own",
            site.scope,
            hint="argosy.wire.context() leases the one of the process",
            action=action,
        )


def _is_plain(site: ContextSite) -> bool:
    arguments = [*site.call.args, *(keyword.value for keyword in site.call.keywords)]
    is_literal = all(isinstance(item, ast.Constant) and type(item.value) is int for item in arguments)
    is_threads = all(keyword.arg == "io_threads" for keyword in site.call.keywords)
    return site.name == "zmq.Context" and site.is_sure and len(arguments) < 2 and is_literal and is_threads


RULE = Rule(code="Z301", title="own context", action="review", words=(b"zmq",), file=check)

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
    Case("import zmq\nfrom mock import patch\nwith patch('zmq.Context') as made:\n    kind = zmq.Context\n"),
    Case("import zmq\nimport argosy.wire\nctx = argosy.wire.context()\n"),
    Case("import zmq\ndef f(zmq):\n    return zmq.Context()\n"),
)
