"""Z301: which contexts become leases, and which are refused and why."""

from __future__ import annotations

import textwrap

import pytest

from argosy.refit.codemods.file_pipeline import FileOutcome, rewrite_file, select_codemods
from argosy.refit.rewrite.tree_index import TreeIndex


def refit(source: str, others: dict[str, str] | None = None, path: str = "agents/it.py") -> FileOutcome:
    """Return what becomes of a file in a tree of others."""
    files = {name: textwrap.dedent(text).encode() for name, text in {path: source, **(others or {})}.items()}
    outcome = rewrite_file(path, files[path], TreeIndex(files), select_codemods(["Z301"]))
    assert [reason for reason in outcome.checks.values() if reason] == []
    return outcome


MIGRATED = {
    "under another name": (
        "import zmq as z\nc = z.Context()\n",
        "import argosy.wire\nc = @()\n",
    ),
    "the class alone": (
        "from zmq import Context, REQ\nc = Context(io_threads=2)\n",
        "from zmq import REQ\nimport argosy.wire\nc = @(io_threads=2)\n",
    ),
    "behind all imports": (
        '"""Doc."""\n'
        "from __future__ import annotations\n"
        "import zmq\n"
        "import os\n"
        "from a import (\n"
        "    b,\n"
        ")\n"
        "c = zmq.Context()\n",
        '"""Doc."""\n'
        "from __future__ import annotations\n"
        "import os\n"
        "from a import (\n"
        "    b,\n"
        ")\n"
        "import argosy.wire\n"
        "c = @()\n",
    ),
    "before an import that may call back": (
        "import zmq\nc = zmq.Context()\nimport later\n",
        "import argosy.wire\nc = @()\nimport later\n",
    ),
    "inside a guard": (
        "try:\n"
        "    import zmq\n"
        "except ImportError:\n"
        "    HAS = False\n"
        "else:\n"
        "    HAS = True\n"
        "\n"
        "def f():\n"
        "    return zmq.Context().socket(1)\n",
        "try:\n"
        "    import zmq\n"
        "    import argosy.wire\n"
        "except ImportError:\n"
        "    HAS = False\n"
        "else:\n"
        "    HAS = True\n"
        "\n"
        "def f():\n"
        "    return @().socket(1)\n",
    ),
    "inside a function": (
        "def f():\n    import os, zmq  # here\n    with zmq.Context() as c:\n        c.socket(1)\n",
        "def f():\n"
        "    import os, zmq  # here\n"
        "    import argosy.wire\n"
        "    with @() as c:\n"
        "        c.socket(1)\n",
    ),
    "imported already": (
        "import argosy.wire\nimport zmq\nc = zmq.Context()\n",
        "import argosy.wire\nc = @()\n",
    ),
    "another's of that name, encoded": (
        "import json\nimport zmq\nclass A:\n    def __init__(self):\n        self.context = zmq.Context()\n"
        "    def told(self, metric):\n        return json.dumps(metric.context)\n",
        "import json\nimport argosy.wire\nclass A:\n    def __init__(self):\n"
        "        self.context = @()\n"
        "    def told(self, metric):\n        return json.dumps(metric.context)\n",
    ),
    "of a class": (
        "import zmq\n"
        "class A:\n"
        "    def __init__(self, c=None):\n"
        "        self.c = c or zmq.Context(1)\n"
        "    def stop(self):\n"
        "        if self.c and not self.c.closed:\n"
        "            self.c.term()\n",
        "import argosy.wire\n"
        "class A:\n"
        "    def __init__(self, c=None):\n"
        "        self.c = c or @(1)\n"
        "    def stop(self):\n"
        "        if self.c and not self.c.closed:\n"
        "            self.c.term()\n",
    ),
    "whose end is waited for": (
        "import select, zmq\nc = zmq.Context()\ntry: select.select([], [], [])\n"
        "except zmq.ContextTerminated: pass\n",
        "import select, zmq\nimport argosy.wire\nc = @()\ntry: select.select([], [], [])\n"
        "except zmq.ContextTerminated: pass\n",
    ),
    "by a name for the class": (
        "import zmq\nfrom zmq import REQ\nCtx = zmq.Context\nc = Ctx()\n",
        "from zmq import REQ\nimport argosy.wire\nCtx = @\nc = Ctx()\n",
    ),
    "by a name of a function": (
        "from zmq import Context\ndef f():\n    make = Context\n"
        "    with make(1) as c:\n        c.socket(1)\n",
        "import argosy.wire\ndef f():\n    make = @\n    with make(1) as c:\n        c.socket(1)\n",
    ),
    "imported twice": (
        "import zmq\nimport os\nimport zmq\nc = zmq.Context()\n",
        "import zmq\nimport os\nimport zmq\nimport argosy.wire\nc = @()\n",
    ),
}


@pytest.mark.parametrize("name", MIGRATED)
def test_z301_replaces_context_by_lease(name: str) -> None:
    before, after = MIGRATED[name]
    outcome = refit(before)
    assert outcome.refused == ()
    assert outcome.after is not None
    assert outcome.after.decode() == after.replace("@", "argosy.wire.context")
    assert len(outcome.migrated) == 1


REFUSED = {
    "from gevent import sleep\nimport zmq.green as zmq\nc = zmq.Context()\n": "gevent",
    "import zmq.asyncio\nc = zmq.asyncio.Context()\n": "asyncio",
    "import zmq\nimport zmq.asyncio as za\nc = zmq.Context()\n": "it also uses zmq.asyncio",
    "try:\n    import zmq\nexcept ImportError:\n    zmq = None\nc = zmq.Context()\n": "bound more than once",
    "from zmq import *\nc = Context()\n": "star import",
    "import zmq\nc = zmq.Context()\nc.linger = 0\n": "sets `linger`",
    "import zmq\nc = zmq.Context()\nc.set(zmq.MAX_SOCKETS, 5)\n": "uses `set`",
    "import zmq\nn = 3\nc = zmq.Context(n)\n": "not a literal",
    "import zmq\nc = zmq.Context(shadow=5)\n": "more than a number",
    "import zmq\nc = zmq.Context()\nassert isinstance(c, zmq.Context)\n": "a lease is not one",
    "import zmq\nzmq.Context = object\nc = zmq.Context()\n": "replaces zmq.Context",
    "import os, zmq\nc = zmq.Context()\nos.fork()\n": "forks",
    "import zmq\nfrom multiprocessing import Process\nc = zmq.Context()\n": "forks",
    "import zmq\nimport multiprocessing as mp\nc = zmq.Context()\nmp.Process(target=f)\n": "forks",
    "import zmq\nimport multiprocessing as mp\nc = zmq.Context()\nclass P(mp.Process): ...\n": "forks",
    "import zmq\nfrom multiprocessing import *\nc = zmq.Context()\n": "forks",
    "import zmq\nfrom multiprocessing import get_context\nc = zmq.Context()\nget_context('fork')\n": "forks",
    "import zmq\nfrom multiprocessing import get_context\nc = zmq.Context()\nget_context(how)\n": "forks",
    "import zmq\nfrom multiprocessing import pool\nc = zmq.Context()\npool.Pool()\n": "forks",
    "import zmq\nimport multiprocessing\nc = zmq.Context()\ng(multiprocessing)\n": "forks",
    "import zmq\nimport concurrent.futures as cf\nc = zmq.Context()\ncf.ProcessPoolExecutor()\n": "forks",
    "try: import multiprocess as mp\nexcept ImportError: import multiprocessing as mp\n"
    "import zmq\nc = zmq.Context()\n": "forks",
    "import zmq\nc = zmq.Context()\nc.socket(1).bind('inproc://a')\n": "inproc",
    "import zmq\nc = zmq.Context()\nzmq.proxy(c.socket(1), c.socket(2))\n": "does not wake",
    "import zmq\nfrom zmq import select as wait\nc = zmq.Context()\nwait([c.socket(1)], [], [])\n": "`wait`",
    "import zmq\ns = zmq.Context().socket(1)\nwatch(s.FD)\n": "`s.FD`",
    "import zmq\ns = zmq.Context().socket(1)\nwatch(s.get(zmq.FD))\n": "`zmq.FD`",
    "import zmq\nfrom zmq.eventloop.zmqstream import ZMQStream\nc = zmq.Context()\n": "zmq.eventloop",
    "import zmq\nc = zmq.Context()\nhelp(c)\n": "passed to a call",
    "import zmq\nclass A:\n    c = Instance('zmq.Context')\n    def f(self):\n"
    "        self.c = zmq.Context()\n": ("`Instance('zmq.Context')` may validate"),
    "import zmq\nclass A:\n    @property\n    def c(self): ...\n    @c.setter\n    def c(self, c): ...\n"
    "    def f(self):\n        self.c = zmq.Context()\n": "a method or property in line 4",
    "import zmq\nclass A(BaseModel, validate_assignment=True):\n    c: zmq.Context\n    def f(self):\n"
    "        self.c = zmq.Context()\n": "validate what is assigned",
    "import zmq\nclass A:\n    def f(self):\n        self.c = zmq.Context()\n"
    "        getattr(self, 'c').set(1, 2)\n": "uses `set`",
    "import zmq\nclass A:\n    def f(self):\n        self.c = zmq.Context()\n"
    "def f(b):\n    help(b.a.c)\n": "passed",
    "import zmq\nc = zmq.Context()\nassert c.socket(1).context is c\n": "compares",
    "import zmq\ndef f():\n    return zmq.Context()\n": "returned",
    "import zmq\ndef f():\n    c = zmq.Context()\n    return c, 1\n": "tuple",
    "import zmq\nd = {}\nd['c'] = zmq.Context()\n": "not all visible",
    "import zmq\nclass A:\n    c = zmq.Context()\n    def f(self):\n        g(self.c)\n": "",
    "import zmq\ns = zmq.Context().socket(1)\ns.context.term()\n": "from a socket",
    "import zmq\ns = zmq.Context().socket(1)\nt = s.context.socket(1)\n": "from a socket",
    "import mine as argosy\nimport zmq\nc = zmq.Context()\n": "`argosy` is bound",
    "import json, zmq\nc = zmq.Context()\njson.dumps(c, default=use)\n": "passed to a call",
    "import zmq\nx = f'{zmq.Context()}'\n": "f-string",
}


CALM = (
    "import multiprocessing\n",
    "import multiprocessing as mp\nmp.get_context('spawn').Process(target=f).start()\n",
    "from multiprocessing import get_context\nmade = get_context(method='forkserver')\n",
    "import multiprocessing as mp\nkept: mp.Process | None = None\ndef g(p: mp.Process) -> mp.Queue: ...\n",
    "from multiprocessing.pool import ThreadPool\npool = ThreadPool(4)\n",
    "from multiprocessing import shared_memory, cpu_count\nshared_memory.SharedMemory('a')\n",
    "import multiprocessing.pool\nmultiprocessing.pool.ThreadPool(multiprocessing.cpu_count())\n",
    "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor()\n",
)


@pytest.mark.parametrize("source", CALM)
def test_z301_accepts_file_that_does_not_fork(source: str) -> None:
    outcome = refit(f"import zmq\n{source}c = zmq.Context()\n")
    assert (len(outcome.migrated), outcome.refused) == (1, ())


SERVER = """\
import threading
import zmq

class Server:
    def __init__(self):
        self.context = zmq.Context()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        socket = self.context.socket(zmq.REP)
        socket.bind("tcp://*:5555")
        try:
            while True:
                socket.send(socket.recv())
        except zmq.ZMQError:
            socket.close()

    def close(self):
        self.context.term()
        self.thread.join()
"""
INNER = """\
import threading
import zmq

def main():
    context = zmq.Context()

    def serve():
        with context.socket(zmq.PULL) as socket:
            while True:
                print(socket.recv())

    thread = threading.Thread(target=lambda: serve())
    thread.start()
    input()
    context.term()
"""
KEPT = SERVER.replace("socket = self", "self.socket = self").replace("    socket", "    self.socket")
DERIVED = "class Server(threading.Thread):"


JOINED = "        self.thread.join()\n        self.context.term()\n"


@pytest.mark.parametrize(
    "source",
    [
        SERVER,
        SERVER.replace("self.context", "self._context").replace("run", "_serve"),
        SERVER.replace("            socket.close()", "            pass"),  # it ends with the function
        SERVER.replace("class Server:", DERIVED).replace("threading.Thread(target=self.run)", "self"),
        SERVER.replace("def run(self):", "def run(self):\n        self.work()\n\n    def work(self):"),
        SERVER.replace("self.thread.join()", "print(', '.join(self.names))"),
        KEPT,
        INNER,
        INNER.replace("input()", "print(','.join(names))"),
        SERVER.replace("        self.context.term()\n        self.thread.join()\n", JOINED),
        SERVER.replace("self.context.term()", "self.wait()\n        self.context.term()")
        + "\n    def wait(self):\n        self.thread.join(timeout=5)\n",
        SERVER.replace("self.context.term()", "self.context.destroy(0)"),  # that closes the sockets too
        SERVER.replace("        self.context.term()\n", ""),
        KEPT.replace("self.context.term()", "self.socket.close()\n        self.context.term()"),
        KEPT.replace("            self.socket.close()", "            pass"),  # its `term()` never returned
        SERVER.replace("threading.Thread(target=self.run)", "Thing(self.run)"),
        INNER.replace("input()", "thread.join()"),
    ],
)
def test_z301_migrates_context_whose_end_stops_thread(source: str) -> None:
    outcome = refit(source)
    assert (len(outcome.migrated), outcome.refused) == (1, ())


@pytest.mark.parametrize("source", REFUSED)
def test_z301_refuses_context_with_reason(source: str) -> None:
    outcome = refit(source)
    assert outcome.after is None
    assert outcome.migrated == ()
    assert len(outcome.refused) == 1
    assert REFUSED[source] in outcome.refused[0].reason


OUT_OF_SIGHT = {
    "import zmq\nclass C(zmq.Context): ...\nc = zmq.Context()\n": ["the base of `C`", "a subclass"],
    "import zmq\nclass A:\n    kind = zmq.Context\nc = zmq.Context()\n": ["stored in `kind`", "in line 3"],
    "import zmq\ndef f(c=zmq.Context): ...\n": ["a default argument"],
    "import zmq\nmade = {'c': zmq.Context}\nc = made['c']()\n": ["put in a dict"],
    "import zmq\ng(zmq.Context)\nc = zmq.Context()\n": ["passed to `g`", "in line 2"],
    "import zmq\nc = getattr(zmq, 'Context')()\n": ["from `getattr(zmq, 'Context')`, not from an import"],
    "c = __import__('zmq').Context()\n": ["not from an import"],
    "import zmq\nz = zmq\nc = z.Context()\n": ["not by an import"],
    "import zmq\nc = (zmq.Context or None)()\n": ["called as `zmq.Context or None`"],
    "import zmq\nCtx = zmq.Context\nif isinstance(Ctx(), Ctx): ...\n": ["tests for a zmq.Context"],
    "import zmq\nCtx = zmq.Context\ndef f(c: Ctx | None): ...\nc = Ctx()\n": ["line 3 does more with `Ctx`"],
    "import zmq\nCtx = zmq.Context\nCtx = Ctx or None\nc = Ctx()\n": ["does not always stand"],
    "import zmq\nCtx = zmq.Context\nc = Ctx()\nhelp(Ctx())\n": [
        "also creates the context in line 4",
        "passed to a call",
    ],
    "import zmq\nc = zmq.Context()\ndef f(c):\n    return type(c) is zmq.Context\n": ["a lease is not one"],
    "import zmq\nc = zmq.Context()\ndel zmq.Context.term\n": ["replaces zmq.Context"],
    "try:\n    from zmq.green import Context\nexcept ImportError:\n    from zmq import Context\n"
    "c = Context()\n": ["gevent"],
}


@pytest.mark.parametrize("source", OUT_OF_SIGHT)
def test_z301_refuses_context_class_used_as_value(source: str) -> None:
    outcome = refit(source)
    assert (outcome.after, outcome.migrated) == (None, ())
    told = [refusal.reason for refusal in outcome.refused]
    assert len(told) == len(OUT_OF_SIGHT[source])
    assert all(part in reason for part, reason in zip(OUT_OF_SIGHT[source], told, strict=True)), told


def test_z301_migrates_context_beside_refused_factory() -> None:
    outcome = refit(
        "import functools\nimport zmq\nmake = functools.partial(zmq.Context, 4)\nc = zmq.Context()\n"
        "class A:\n    c: zmq.Context = field(default_factory=zmq.Context)\n"
    )
    assert [site.line for site in outcome.migrated] == [4]
    assert [(refusal.line, refusal.reason[:29]) for refusal in outcome.refused] == [
        (3, "its class is passed to `funct"),
        (6, "its class is passed to `field"),
    ]


def test_z301_refusal_names_module_that_reexports_zmq() -> None:
    tree = {
        "agents/__init__.py": "",
        "agents/compat.py": "try:\n    import zmq\nexcept ImportError:\n    zmq = None\n",
        "agents/kinds.py": "from agents.compat import zmq\nfrom zmq import Context\n",
        "agents/gevent.py": "import gevent_zmq as zmq\n",
    }
    for source, home in (
        ("from agents.compat import zmq\nc = zmq.Context()\n", "agents/compat.py"),
        ("from .compat import zmq\nc = [zmq.Context]\n", "agents/compat.py"),
        ("import agents.kinds as k\nc = k.zmq.Context()\n", "agents/kinds.py"),
        ("from agents.kinds import (\n    Context as C\n)\nc = C()\n", "agents/kinds.py"),
    ):
        outcome = refit(source, tree)
        assert (outcome.after, len(outcome.refused)) == (None, 1), source
        assert f"comes from `{home}`" in outcome.refused[0].reason
    outcome = refit("from agents.gevent import zmq\nc = zmq.Context()\n", tree)
    assert (outcome.after, outcome.refused) == (None, ())


@pytest.mark.parametrize(
    "declared",
    ["context = Instance(zmq.Context)", "context: object = field()", "@property\n    def context(self): ..."],
)
def test_z301_refuses_context_attribute_declared_by_base(declared: str) -> None:
    source = "import zmq\nfrom base import B\nclass C(B):\n    def f(self):\n"
    source += "        self.context = zmq.Context()\n"
    base = f"import zmq\nclass B:\n    {declared}\n"
    outcome = refit(source, {"agents/base.py": base})
    assert (outcome.after, len(outcome.refused)) == (None, 1)
    assert outcome.refused[0].reason.endswith(" of `agents/base.py`")
    assert refit(source, {"agents/base.py": "class B:\n    context = None\n"}).after is not None


def test_z301_refuses_context_alias_used_by_other_files() -> None:
    source = "import zmq\nCtx = zmq.Context\nc = Ctx()\n"
    for other, reason in (
        ("from agents.it import Ctx\nfirst = Ctx()\n", "imports `Ctx` from here"),
        ("import agents.it\nfirst = agents.it.Ctx()\n", "more with `Ctx` of this module"),
        ("from mock import patch\npatch('agents.it.Ctx')\n", "replaces `Ctx`"),
    ):
        outcome = refit(source, {"b.py": other})
        assert (outcome.after, len(outcome.refused)) == (None, 1)
        assert reason in outcome.refused[0].reason


@pytest.mark.parametrize(
    "source",
    [
        "import zmq\nc = zmq.Context.instance()\n",
        "import zmq\nfrom mock import Mock\ndef f(c: zmq.Context) -> 'zmq.Context':\n"
        "    return Mock(spec=zmq.Context) if isinstance(c, zmq.Context) else c\n",
        "import green as zmq\nc = zmq.Context()\n",
        "from wrapper import zmq\nc = zmq.Context()\n",
        "class zmq:\n    Context = dict\nimport os\n\ndef f(zmq):\n    return zmq.Contexts()\n",
        "import decimal\nc = decimal.Context()\n",
        "from decimal import Context\nc = Context()  # not zmq\n",
    ],
)
def test_z301_finds_no_site_without_own_context(source: str) -> None:
    outcome = refit(source)
    assert (outcome.after, outcome.migrated, outcome.refused) == (None, (), ())


OWNER = "import zmq\nclass Base:\n    def __init__(self):\n        self.context = zmq.Context()\n"


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        (
            {
                "b.py": "from agents.it import Base\n"
                "class D(Base):\n"
                "    def f(self):\n"
                "        g(self.context)\n"
            },
            "b.py",
        ),
        (
            {
                "b.py": "class D(Base):\n    pass\n",
                "c.py": "class E(D):\n    def f(self):\n        self.context.set(1, 2)\n",
            },
            "c.py",
        ),
        ({"b.py": "import zmq\ndef f(agent):\n    agent.context.setsockopt(1, 2)\n"}, "b.py"),
        (
            {"b.py": "class D(Base):\n    def f(self):\n        self.context.socket(0).bind('inproc://a')\n"},
            "b.py",
        ),
        ({"b.py": "import zmq\ndef f(a):\n    a.context.socket(0).bind('inproc://a')\n"}, "b.py"),
        (
            {"test_it.py": "from unittest.mock import patch\n@patch('agents.it.zmq')\ndef test(m): ...\n"},
            "test_it.py",
        ),
        (
            {
                "test_it.py": "from agents import it\n"
                "def test(monkeypatch):\n"
                "    monkeypatch.setattr(it, 'zmq', None)\n"
            },
            "test_it.py",
        ),
        ({"test_it.py": "import sys\nsys.modules['zmq'] = object()\nimport agents.it\n"}, "test_it.py"),
        ({"zmq.py": "Context = dict\n"}, "module `zmq` of its own"),
        (
            {
                "b.py": "from agents.it import Base as Root\nclass D(Root):\n    def f(self):\n"
                "        g(self.context)\n"
            },
            "b.py",
        ),
        (
            {
                "b.py": "import agents.it\nRoot = agents.it.Base\nclass D(Root):\n    def f(self):\n"
                "        g(self.context)\n"
            },
            "b.py",
        ),
        (
            {
                "b.py": "class Real(Base, Mix):\n    pass\n",
                "mix.py": "class Mix:\n    def f(self):\n        self.context.linger = 3\n",
            },
            "mix.py",
        ),
        ({"b.py": "class D(Base):\n    def f(self):\n        g(getattr(self, 'context'))\n"}, "b.py"),
        ({"b.py": "import zmq\ndef f(a):\n    getattr(a, 'context', 0).set(1, 2)\n"}, "b.py"),
    ],
)
def test_z301_refuses_context_used_unsafely_by_other_files(others: dict[str, str], reason: str) -> None:
    outcome = refit(OWNER, others)
    assert outcome.after is None
    assert [reason in item.reason for item in outcome.refused] == [True]


@pytest.mark.parametrize(
    "others",
    [
        {
            "b.py": "class D(Base):\n"
            "    def f(self):\n"
            "        if self.context:\n"
            "            self.context.socket(1)\n"
        },
        {"b.py": "class Stranger:\n    def f(self):\n        g(self.context)\n"},
        {"test_it.py": "from unittest.mock import patch\n@patch('zmq.Context')\ndef test(m): ...\n"},
        {
            "test_it.py": "from unittest.mock import patch\n"
            "@patch('agents.it.zmq.Context')\n"
            "def test(m): ...\n"
        },
        {"test_it.py": "from unittest.mock import patch\n@patch('zmq.Context.socket')\ndef test(m): ...\n"},
        {"test_it.py": "from unittest.mock import patch\n@patch('agents.other.zmq')\ndef test(m): ...\n"},
    ],
)
def test_z301_ignores_harmless_use_by_other_files(others: dict[str, str]) -> None:
    assert len(refit(OWNER, others).migrated) == 1


@pytest.mark.parametrize(
    ("use", "is_plain"),
    [
        ("it.context.socket(zmq.REQ)", True),
        ("it.context.term()", True),
        ("it.context.linger = 0", False),
        ("isinstance(it.context, zmq.Context)", False),
        ("g(getattr(it, 'context'))", False),
        ("anything.context.set(1, 2)", False),
        ("g(it.context)", False),
        ("it.context.socket(zmq.PAIR).bind('inproc://a')", False),
    ],
)
def test_z301_checks_use_of_module_context_by_other_files(use: str, is_plain: bool) -> None:
    source = "import zmq\ncontext = zmq.Context()\n"
    outcome = refit(source, {"b.py": f"import zmq\nfrom agents import it\n\n{use}\n"})
    assert len(outcome.migrated) == is_plain
    assert ["`b.py` does more" in item.reason for item in outcome.refused] == [True] * (not is_plain)


@pytest.mark.parametrize("alias", ["import agents.it as other", "from agents import it as other"])
def test_z301_checks_use_of_module_context_by_alias(alias: str) -> None:
    outcome = refit("import zmq\ncontext = zmq.Context()\n", {"b.py": f"{alias}\ng(other.context)\n"})
    assert ["`b.py` does more" in item.reason for item in outcome.refused] == [True]


HANDS = (
    "import zmq\nfrom lib.sockets import opened\n\n\nclass A:\n    def __init__(self):\n"
    "        self.context = zmq.Context()\n        self.socket = opened(self.context, zmq.REP, late=1)\n"
)
OPENS = (
    "import zmq\n\ndef opened(context, kind, *, late=0):\n    made = context.socket(kind)\n    return made\n"
)


@pytest.mark.parametrize(
    ("source", "helper"),
    [
        (HANDS, OPENS),
        (HANDS.replace("self.context, zmq.REP", "kind=zmq.REP, context=self.context"), OPENS),
        (HANDS, OPENS.replace("    made", "    context = context or None\n    made")),
        (HANDS, f"{OPENS}\n\ndef other(context):\n    return [context]\n"),
    ],
)
def test_z301_migrates_context_passed_to_helper_that_opens_sockets(source: str, helper: str) -> None:
    outcome = refit(source, {"lib/sockets.py": helper})
    assert (len(outcome.migrated), outcome.refused) == (1, ())


@pytest.mark.parametrize(
    ("source", "helper", "reason"),
    [
        (HANDS, OPENS.replace("return made", "return context"), "`opened` of `lib/sockets.py`"),
        (HANDS, OPENS.replace("return made", "context.set(1, 2)\n    return made"), "uses `set`"),
        (HANDS, OPENS.replace("return made", "help(context)\n    return made"), "passed to a call"),
        (HANDS, OPENS.replace("return made", "kept[kind] = context\n    return made"), "not all visible"),
        (HANDS, f"{OPENS}    made.bind('inproc://a')\n", "inproc"),
        (HANDS, f"@cached\n{OPENS[12:]}", "passed to a call"),
        (HANDS, f"{OPENS}\nopened = wrapped(opened)\n", "passed to a call"),
        (HANDS.replace("(self.context, ", "(*[self.context], "), OPENS, "put in a list"),
        (HANDS.replace("self.context, zmq.REP", "zmq.REP, word=self.context"), OPENS, "passed to a call"),
    ],
)
def test_z301_refuses_context_passed_to_other_helper(source: str, helper: str, reason: str) -> None:
    outcome = refit(source, {"lib/sockets.py": helper})
    assert outcome.migrated == ()
    assert reason in outcome.refused[0].reason


def test_z301_refuses_context_passed_to_ambiguous_helper() -> None:
    outcome = refit(HANDS, {"lib/sockets.py": OPENS, "old/lib/sockets.py": OPENS})
    assert "passed to a call" in outcome.refused[0].reason


def test_z301_distinguishes_classes_of_same_name() -> None:
    copy = "import zmq\nclass Base:\n    def f(self):\n        g(self.context)\n"
    assert len(refit(OWNER, {"old/copy.py": copy}).migrated) == 1
    derived = f"from it import Base\n{copy.replace('class Base', 'class Base(Base)')}"
    assert "old/copy.py" in refit(OWNER, {"old/copy.py": derived}).refused[0].reason
