"""Runs every class of a tree that derives from its base agent on argosy's; returns data, or a table.

    python -m tests.agent.legacy.class_survey TREE

Each class has a process and a network namespace of its own, with nothing but loopback in it.
"""

from __future__ import annotations

import ast
import collections
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from argosy.wire.address_book import AddressBook, AgentAddress, write_address_book

BASE = "BaseAgent"
LIMIT_S = 6.0
AT_ONCE = 4
PORT = 21000
HERE = Path(__file__).resolve().parent


class OldClass(msgspec.Struct, frozen=True):
    """A class that derives from the base, by any number of steps."""

    path: str
    name: str


class Tree(msgspec.Struct, frozen=True):
    """What parsing a tree tells. provided: the names that its own base gives to subclasses."""

    classes: list[OldClass]
    modules: list[str]
    provided: set[str]


class Tried(msgspec.Struct, frozen=True):
    """What came of one class."""

    path: str
    name: str
    outcome: str
    error: str = ""
    frame: str = ""
    line: int = 0
    missing: str | None = None
    of_agent: bool = False
    status: str = ""
    is_own: bool = False


def read_tree(root: Path) -> Tree:
    """Parse every file that parses, and find what derives from the base."""
    trees = dict(_parsed(root))
    bases: dict[tuple[str, str], set[str]] = {}
    provided: set[str] = set()
    modules: set[str] = set()
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[path, node.name] = {ast.unparse(b).rpartition(".")[2] for b in node.bases}
                if node.name == BASE:
                    provided |= _provided(node)
                    modules.add(_dotted(path))
            elif isinstance(node, ast.ImportFrom) and _takes_base(node):
                modules.update(m for m in [node.module or ""] if not _is_there(root, m))
    return Tree(_derived(bases), sorted(modules), provided)


def _takes_base(node: ast.ImportFrom) -> bool:
    return bool(node.module) and not node.level and any(a.name == BASE for a in node.names)


def _parsed(root: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(root.rglob("*.py")):
        try:
            yield str(path.relative_to(root)), ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue


def _derived(bases: dict[tuple[str, str], set[str]]) -> list[OldClass]:
    names, found = {BASE}, set[tuple[str, str]]()
    while more := {key for key, of in bases.items() if of & names and key[1] != BASE} - found:
        found |= more
        names |= {name for _, name in more}
    return [OldClass(path, name) for path, name in sorted(found)]


def _provided(base: ast.ClassDef) -> set[str]:
    attributes = {
        n.attr
        for n in ast.walk(base)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "self"
    }
    return attributes | {n.name for n in base.body if isinstance(n, ast.FunctionDef)}


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _is_there(root: Path, module: str) -> bool:
    place = root / module.replace(".", "/")
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def namespace() -> tuple[list[str], str]:
    """Return the command that gives a network namespace of loopback alone, or why there is none."""
    for flags in ("-n", "-rn"):
        command = ["unshare", flags, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        if not shutil.which("unshare"):
            break
        if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command, ""
    return [], "no network namespace can be made here"


def try_all(root: Path, tree: Tree) -> list[Tried]:
    """Try every class; the tree is copied first, since agents write into it."""
    command, reason = namespace()
    assert command, reason
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(root, copy, symlinks=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda each: _try_one(command, copy, each, tree.modules), tree.classes))


def _try_one(command: list[str], tree: Path, each: OldClass, modules: list[str]) -> Tried:
    """Try one class in a fleet of its own; the network is apart, the files of its sockets must be too."""
    with tempfile.TemporaryDirectory(dir=tree.parent) as folder:
        book = Path(folder) / "book.json"
        trial = AgentAddress("here", port=PORT, health_port=PORT + 500)
        write_address_book(book, AddressBook("trial", "testing", ("here",), folder, {"Trial": trial}))
        return _try(command, tree, book, each, modules)


def _try(command: list[str], tree: Path, book: Path, each: OldClass, modules: list[str]) -> Tried:
    out, result_fd = os.pipe()
    script = [
        os.environ.get("TRIAL_PYTHON", sys.executable),
        str(HERE / "class_trial.py"),
        str(tree),
        str(tree / each.path),
        each.name,
    ]
    process = subprocess.Popen(
        [*command, *script, str(PORT + 500), *modules],
        pass_fds=[result_fd],
        cwd=tree.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={
            **os.environ,
            "ARGOSY_BOOK": str(book),
            "ARGOSY_AGENT": "Trial",
            "PYTHONPATH": str(tree),
            "TRIAL_FD": str(result_fd),
        },
    )
    os.close(result_fd)
    try:
        for number in (signal.SIGALRM, signal.SIGKILL):
            try:
                process.wait(LIMIT_S)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(number)
        process.wait(LIMIT_S)
    finally:
        _end_group(process.pid)
    with os.fdopen(out, "rb") as answer:
        result_json = answer.read()
    facts: dict[str, Any] = (
        json.loads(result_json)
        if result_json
        else {"outcome": "ended", "error": f"exit {process.returncode}"}
    )
    frame = facts.get("frame", "").replace(f"{tree}/", "")
    return msgspec.convert({**facts, "path": each.path, "name": each.name, "frame": frame}, Tried)


def _end_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_bases_own(tried: Tried, provided: set[str]) -> bool:
    """Tell whether a failure is argosy's: raised there, or for want of what the old base gave."""
    if tried.outcome in ("answered", "not imported", "slow"):
        return False
    is_there = "/argosy/" in tried.frame
    return is_there or tried.outcome == "no answer" or (tried.of_agent and tried.missing in provided)


def table(tried: list[Tried], provided: set[str]) -> str:
    """Return the closing account, and every class with its first error."""
    counts = collections.Counter(t.outcome for t in tried)
    own = [t for t in tried if is_bases_own(t, provided)]
    lines = [f"{t.outcome:16}{t.path}:{t.name}  {t.status} {t.error[:110]}" for t in tried]
    account = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
    return "\n".join([*sorted(lines), f"{len(tried)} tried: {account}; {len(own)} of the base's own"])


if __name__ == "__main__":
    where = Path(sys.argv[1])
    found = read_tree(where)
    print(table(try_all(where, found), found.provided))
