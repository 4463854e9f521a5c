"""Imports that a refit leaves unused: which are removed, and which are kept and why."""

from __future__ import annotations

import pytest

from argosy.refit.codemods.file_pipeline import FileOutcome, rewrite_file, select_codemods
from argosy.refit.rewrite.tree_index import TreeIndex


def refit(source: str, others: dict[str, str] | None = None, path: str = "agents/it.py") -> FileOutcome:
    """Return what becomes of a file in a tree of others; its context always becomes a lease."""
    files = {name: text.encode() for name, text in {path: source, **(others or {})}.items()}
    outcome = rewrite_file(path, files[path], TreeIndex(files), select_codemods(["Z301"]))
    assert [reason for reason in outcome.checks.values() if reason] == []
    assert (len(outcome.migrated), outcome.refused) == (1, ())
    assert outcome.after is not None
    again = rewrite_file(
        path, outcome.after, TreeIndex({**files, path: outcome.after}), select_codemods(["Z301"])
    )
    assert again.after is None
    return outcome


GOES = {
    "from zmq import Context\nc = Context()\n": "import argosy.wire\nc = @()\n",
    "from zmq import Context, REQ\nc = Context().socket(REQ)\n": (
        "from zmq import REQ\nimport argosy.wire\nc = @().socket(REQ)\n"
    ),
    "from zmq import (\n    Context,\n    REQ,\n)\nc = Context().socket(REQ)\n": (
        "from zmq import REQ\nimport argosy.wire\nc = @().socket(REQ)\n"
    ),
    "import os, zmq\nos.sync()\nc = zmq.Context()\n": "import os\nimport argosy.wire\nos.sync()\nc = @()\n",
    'def f():\n    """zmq."""\n    import zmq\n    c = zmq.Context()\n': (
        'def f():\n    """zmq."""\n    import argosy.wire\n    c = @()\n'
    ),
    "import zmq\ndef f():\n    import zmq\n    c = zmq.Context()\ns = zmq.REQ\n": (
        "import zmq\ndef f():\n    import argosy.wire\n    c = @()\ns = zmq.REQ\n"
    ),
}


@pytest.mark.parametrize("source", GOES)
def test_refit_removes_import_it_made_unused(source: str) -> None:
    outcome = refit(source)
    assert outcome.after is not None
    assert outcome.after.decode() == GOES[source].replace("@", "argosy.wire.context")
    assert outcome.unused_imports == ()


STAYS = {
    "from zmq import Context  # noqa: F401\nc = Context()\n": "a comment",
    "from zmq import (\n    Context,  # ours\n)\nc = Context()\n": "a comment",
    "from zmq import Context; import os\nc = Context()\n": "another statement",
    "import os; from zmq import Context\nc = Context()\n": "another statement",
    "from zmq import Context\n__all__ = ['Context']\nc = Context()\n": "a string",
    "from zmq import Context\nc = Context()\nglobals()['Cont' 'ext']\n": "a string",
    "from zmq import Context\ndef f(c: 'Context | None'): ...\nc = Context()\n": "a string",
    "from zmq import Context\nc = Context()  # type: Context\n": "a string",
    "try:\n    from zmq import Context\nfinally:\n    pass\nc = Context()\n": "whether it succeeds",
    "if True:\n    from zmq import Context\nc = Context()\n": "whether it succeeds",
    "from zmq import Context\nfrom zmq import Context\nc = Context()\n": "binds the name as well",
}


@pytest.mark.parametrize("source", STAYS)
def test_refit_keeps_and_reports_possibly_needed_import(source: str) -> None:
    outcome = refit(source)
    assert outcome.after is not None
    kept = [line for line in source.splitlines() if "import Context" in line or "# ours" in line]
    assert all(line in outcome.after.decode() for line in kept)
    assert outcome.unused_imports
    assert all(STAYS[source] in item.reason and item.name == "Context" for item in outcome.unused_imports)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ("from agents.it import Context\n", "imports it from here"),
        ("from .it import (\n    other,\n    Context as C,\n)\n", "imports it from here"),
        ("import agents.it\nkind = agents.it.Context\n", "accesses it in this module"),
        ("from agents import it as near\nkind = near.Context\n", "accesses it in this module"),
    ],
)
def test_refit_keeps_import_used_by_other_files(other: str, reason: str) -> None:
    outcome = refit("from zmq import Context\nc = Context()\n", {"agents/other.py": other})
    assert [item.reason for item in outcome.unused_imports] == [f"`agents/other.py` {reason}"]


def test_refit_keeps_imports_of_package_init() -> None:
    outcome = refit("from zmq import Context\nc = Context()\n", path="agents/__init__.py")
    assert [item.reason for item in outcome.unused_imports] == ["it is a package's export"]


def test_refit_keeps_imports_unused_before() -> None:
    outcome = refit("import os\nfrom zmq import Context, REP\nfrom mine import x\nc = Context()\n")
    assert outcome.after is not None
    kept = "import os\nfrom zmq import REP\nfrom mine import x\nimport argosy.wire\n"
    assert outcome.after.decode() == f"{kept}c = argosy.wire.context()\n"
