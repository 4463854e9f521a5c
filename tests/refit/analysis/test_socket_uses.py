"""Socket uses: where the sockets of a file are stored, and how they are used."""

from __future__ import annotations

import ast

from argosy.refit.analysis.context_class import find_context_class_uses
from argosy.refit.analysis.socket_uses import find_sockets
from argosy.refit.core.source_file import PythonFile
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, decode_source


def file_of(text: str) -> PythonFile:
    source = decode_source(text.encode(), "/case.py")
    assert isinstance(source, SourceText)
    parsed = parse(source)
    assert isinstance(parsed, Parsed)
    return PythonFile("case.py", parsed)


def test_socket_has_types_and_every_use() -> None:
    file = file_of(
        "import zmq as z\n"
        "class A:\n"
        "    def __init__(self, ctx):\n"
        "        self.s = self.t = ctx.socket(z.XREQ)\n"
        "        self.s.linger = 0\n"
        "        poller.register(self.s, z.POLLIN)\n"
        "    def f(self):\n"
        "        if self.s in events:\n"
        "            self.s.recv()\n"
        "        g(self.s)\n"
        "        self.s = None\n"
    )
    places = {place.name: place for place in find_sockets(file).sockets}
    assert set(places) == {"self.s", "self.t"}
    kinds = [(use.kind, use.method) for use in places["self.s"].uses if use.line != 4]
    assert kinds == [
        ("option", "linger"),
        ("poll", "register"),
        ("test", ""),
        ("call", "recv"),
        ("argument", "g"),
        ("assign", ""),
    ]
    assert places["self.s"].socket_types == {"DEALER"}
    assert places["self.s"].has_option("LINGER", file)


def test_sockets_of_two_functions_are_separate() -> None:
    file = file_of(
        "import zmq\n"
        "def f(c):\n    s = c.socket(zmq.SUB)\n    def inner():\n        s.recv()\n    return inner\n"
        "def g(s):\n    s.recv()\n"
        "def h(c):\n    s = c.socket(zmq.PUB)\n"
    )
    sockets = {place.owner.name: place for place in find_sockets(file).sockets}
    assert [use.line for use in sockets["f"].uses] == [5]
    assert sockets["h"].uses == []


def test_find_sockets_follows_with_and_closing() -> None:
    file = file_of(
        "import zmq\n"
        "with zmq.Context() as c, c.socket(zmq.REQ) as a, closing(c.socket(zmq.REP)) as b:\n    pass\n"
        "x = [c.socket(zmq.PUB)]\n"
    )
    sockets = find_sockets(file)
    assert [place.name for place in sockets.sockets] == ["a", "b"]
    assert [creation.socket_type for creation in sockets.unplaced] == ["PUB"]
    assert [place.name for place in sockets.contexts] == ["c"]


def test_context_creation_has_scope_and_name() -> None:
    file = file_of("from zmq.asyncio import Context as C\nclass A:\n    def f(self):\n        return C()\n")
    (site,) = find_context_class_uses(file).creations
    assert isinstance(site.call, ast.Call)
    assert (site.name, site.is_sure, site.scope.qualified_name()) == ("zmq.asyncio.Context", True, "A.f")
