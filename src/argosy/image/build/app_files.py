"""The files of the two layers that are not packages: argosy itself, and the agents' application files."""

from __future__ import annotations

import ast
import hashlib
import os
import posixpath
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import argosy
from argosy.fleet.redaction import is_secret_name

# Not used inside a container. Of `image/` only what `_IMAGE_PREFIXES` names is used there.
_EXCLUDED_PREFIXES: Final = ("refit/", "hub/", "track/", "fleet/importers/")
_IMAGE_PREFIXES: Final = ("image/__init__.py", "image/first.py", "image/checkup.py", "image/runtime/")
_SKIPPED_FOLDERS: Final = frozenset({"__pycache__", "node_modules", "venv", "env", "site-packages"})
_SECRET_SUFFIXES: Final = (".env", ".key", ".pem", ".p12", ".pfx", ".key_secret")
_MAX_DATA_BYTES: Final = 4 * 2**20


def runtime_files() -> tuple[Path, tuple[str, ...]]:
    """Return the folder of argosy's package, and its files that go into an image."""
    root = Path(argosy.__file__).parent
    found = (path.relative_to(root).as_posix() for path in sorted(root.rglob("*.py")))
    return root, tuple(
        name
        for name in found
        if not name.startswith(_EXCLUDED_PREFIXES)
        and (name.startswith(_IMAGE_PREFIXES) or not name.startswith("image/"))
    )


def copy_argosy(folder: Path, site_packages: str) -> None:
    """Copy argosy's own modules below a folder, with a dist-info that has their version."""
    root, files = runtime_files()
    for name in files:
        target = folder / site_packages / "argosy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)
    dist_info = folder / site_packages / f"argosy-{argosy.__version__}.dist-info"
    dist_info.mkdir(parents=True)
    (dist_info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: argosy\nVersion: {argosy.__version__}\n"
    )


def digest_of_argosy() -> str:
    """Return a digest of argosy's own modules."""
    root, files = runtime_files()
    return digest_of_files(root, files)


def digest_of_files(root: Path, files: Iterable[str]) -> str:
    """Return a digest of files by name and content."""
    digest = hashlib.sha256()
    for name in files:
        content = hashlib.sha256((root / name).read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def data_files(root: Path, files: Iterable[str]) -> tuple[str, ...]:
    """Return the files of the tree that string literals of some modules name, by path or by name.

    Left out are Python files, hidden files, files of more than 4 MiB (weights of models), and files whose
    names look like a secret's.
    """
    literals = {text for name in files if name.endswith(".py") for text in _path_like_literals(root / name)}
    names = {posixpath.basename(text) for text in literals}
    found = []
    for path in _candidate_files(root):
        base = posixpath.basename(path)
        if base in names and any(
            path == suffix or path.endswith(f"/{suffix}") for suffix in _path_suffixes(literals, base)
        ):
            found.append(path)
    return tuple(found)


def _path_suffixes(literals: Iterable[str], base: str) -> Iterator[str]:
    for literal in literals:
        if posixpath.basename(literal) == base:
            yield posixpath.normpath(literal).lstrip("./")


def _path_like_literals(path: Path) -> Iterator[str]:
    """Yield the string literals of a module that look like a file name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if 2 < len(text) < 200 and "." in text and "\n" not in text and "://" not in text:
                yield text


def _candidate_files(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in _SKIPPED_FOLDERS
        )
        for name in sorted(files):
            path = Path(folder) / name
            if name.startswith(".") or name.endswith((".py", ".pyc", *_SECRET_SUFFIXES)) or path.is_symlink():
                continue
            if is_secret_name(path.stem):
                continue
            if path.stat().st_size <= _MAX_DATA_BYTES:
                yield path.relative_to(root).as_posix()
