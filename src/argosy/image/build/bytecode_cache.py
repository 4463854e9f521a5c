"""Caches the bytecode of application modules by content: only changed modules are compiled again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from argosy.image.content.debian import PYTHON
from argosy.image.content.deterministic_pyc import canonicalize_pyc
from argosy.image.content.external_program import run_program
from argosy.image.content.staging import temporary_folder, write_atomic
from argosy.image.runtime.image_paths import APP_DIR

_CACHE_TAG = f"cpython-{PYTHON.replace('.', '')}"
# Reads lines of source, target and the path inside an image; a source that does not compile gives an empty
# target.
_COMPILE_SCRIPT = """
import py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for line in open(sys.argv[1], encoding="utf-8"):
    source, target, shown = line.rstrip("\\n").split("\\t")
    try:
        py_compile.compile(source, target, shown, True, invalidation_mode=mode)
    except (py_compile.PyCompileError, UnicodeDecodeError):
        open(target, "wb").close()
"""


class BytecodeCache:
    """Bytecode by the digest of its source and its path in an image.

    python: the command of the interpreter that compiles. tree: the unpacked packages that it belongs to.
    """

    def __init__(self, cache: Path, python: list[str], tree: str) -> None:
        self.folder = cache / "bytecode"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.python = python
        self.tree = tree

    def compile_modules(self, root: Path, names: Iterable[str]) -> dict[str, Path]:
        """Return, for each module, a file with its bytecode; a module that does not compile has none.

        names: paths of modules below `root`, which an image has below its application folder.
        """
        keys = {name: self._key(root, name) for name in names}
        missing = [name for name, key in keys.items() if not (self.folder / key).exists()]
        if missing:
            self._compile_missing(root, {name: keys[name] for name in missing})
        paths = {name: self.folder / key for name, key in keys.items()}
        return {name: path for name, path in paths.items() if path.stat().st_size}

    def _key(self, root: Path, name: str) -> str:
        digest = hashlib.sha256(f"{_CACHE_TAG}\n{APP_DIR}/{name}\n".encode())
        digest.update((root / name).read_bytes())
        return digest.hexdigest()

    def _compile_missing(self, root: Path, keys: dict[str, str]) -> None:
        env = {"PYTHONHOME": f"{self.tree}/usr", "PATH": os.defpath, "PYTHONHASHSEED": "0"}
        with temporary_folder(self.folder) as folder:
            lines = (f"{root / name}\t{folder / key}\t{APP_DIR}/{name}" for name, key in keys.items())
            jobs_file = folder / "jobs"
            jobs_file.write_text("\n".join(lines) + "\n")
            run_program([*self.python, "-S", "-c", _COMPILE_SCRIPT, str(jobs_file)], env=env)
            for key in keys.values():
                data = (folder / key).read_bytes()
                write_atomic(self.folder / key, canonicalize_pyc(data) if data else b"")


def pyc_path(name: str) -> str:
    """Return the path of a module's bytecode: for `a/b.py` it is `a/__pycache__/b.cpython-313.pyc`."""
    folder, _, base = name.rpartition("/")
    return f"{folder}{'/' if folder else ''}__pycache__/{base.removesuffix('.py')}.{_CACHE_TAG}.pyc"
