"""Module finder: it agrees with Python's own path finder."""

from __future__ import annotations

import importlib.machinery
import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.source.module_finder import DirectoryListings, ModuleFinder, is_installed, is_standard


def plant(root: Path, *names: str) -> Path:
    """Make empty files below `root`; a name that ends in `/` is a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.touch()
    return root


def test_module_finder_finds_module_package_and_namespace(tmp_path: Path) -> None:
    finder = ModuleFinder([str(plant(tmp_path, "one.py", "two/__init__.py", "two/sub.py", "three/sub.py"))])
    one, sub, three = finder.find("one"), finder.find("two.sub"), finder.find("three")
    assert one is not None
    assert sub is not None
    assert three is not None
    assert (one.kind, one.path, one.is_package) == ("source", str(tmp_path / "one.py"), False)
    assert sub.path == str(tmp_path / "two/sub.py")
    assert (three.kind, three.path, three.is_package) == ("namespace", "", True)
    assert finder.find("three.sub") is not None
    assert finder.find("two.none") is None
    assert finder.find("one.sub") is None


def test_script_directory_shadows_standard_library_as_in_python(tmp_path: Path) -> None:
    plant(tmp_path / "beside", "queue.py", "os.py", "sys.py", "logging/a.py")
    plant(tmp_path / "tree", "json.py", "own.py")
    finder = ModuleFinder([str(tmp_path / "beside")], [str(tmp_path / "tree")])
    assert finder.find("queue") is not None, "it is first on sys.path"
    assert finder.find("os") is None, "loaded before the script's folder is on the path"
    assert finder.find("sys") is None, "built in"
    assert finder.find("logging") is None, "a folder without __init__ is last of all"
    assert finder.find("json") is None, "an assumed root comes after the standard library"
    assert finder.find("own") is not None


def test_module_finder_marks_modules_of_assumed_root(tmp_path: Path) -> None:
    plant(tmp_path, "a/x.py", "b/x.py", "b/y.py")
    finder = ModuleFinder([str(tmp_path / "a")], [str(tmp_path / "b")])
    x, y = finder.find("x"), finder.find("y")
    assert x is not None
    assert y is not None
    assert (finder.is_assumed(x), finder.is_assumed(y)) == (False, True)
    assert finder.folder_of(y) == str(tmp_path / "b")


def test_module_finder_merges_namespace_portions(tmp_path: Path) -> None:
    plant(tmp_path, "a/pkg/one.py", "b/pkg/two.py")
    finder = ModuleFinder([str(tmp_path / "a"), str(tmp_path / "b")])
    assert finder.find("pkg.one") is not None
    assert finder.find("pkg.two") is not None


def test_directory_listings_find_python_files(tmp_path: Path) -> None:
    plant(tmp_path, "docker/Dockerfile", "src/deep/er/a.py", "link/")
    folders = DirectoryListings()
    assert not folders.has_python_files(str(tmp_path / "docker"))
    assert folders.has_python_files(str(tmp_path / "src"))
    assert not folders.has_python_files(str(tmp_path / "missing"))


def test_module_finder_handles_symlink_loop(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    assert not DirectoryListings().has_python_files(str(tmp_path))
    assert ModuleFinder([str(tmp_path)]).find("loop.loop.loop") is not None


def test_installed_and_standard_modules_are_recognised() -> None:
    assert is_installed("msgspec")
    assert not is_installed("surely_nobody_has_this")
    assert is_standard("json")
    assert not is_standard("msgspec")


_PARTS = st.sampled_from(["a", "b", "c"])
_FILES = st.builds(
    lambda parts, last: "/".join([*parts, last]),
    st.lists(_PARTS, max_size=3),
    st.sampled_from(["a.py", "b.py", "__init__.py", "c.pyc", "b.txt", "a.cpython-311-x86_64-linux-gnu.so"]),
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["r1", "r2"]), _FILES), max_size=8),
    st.lists(_PARTS, min_size=1, max_size=3),
)
def test_module_finder_agrees_with_python_path_finder(files: list[tuple[str, str]], parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for top, file in files:
            plant(root, f"{top}/{file}")
        roots = [str(root / "r1"), str(root / "r2")]
        module = ModuleFinder(roots).find(".".join(parts))
        spec = find_spec(parts, roots)
        if spec is None:
            assert module is None
            return
        assert module is not None
        assert (module.path or None) == (spec.origin if spec.has_location else None)
        locations = [] if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
        assert [os.path.normpath(path) for path in locations] == list(module.folders)


_LOADERS = (
    (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES),
    (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
)


def find_spec(parts: list[str], path: list[str]) -> importlib.machinery.ModuleSpec | None:
    """Follow a dotted name with the file finders of Python, which import nothing.

    PathFinder itself asks sys.modules for the parents of a namespace package, so its loop is here.
    """
    spec: importlib.machinery.ModuleSpec | None = None
    for count in range(1, len(parts) + 1):
        spec = _find_in(".".join(parts[:count]), path)
        if spec is None:
            return None
        path = spec.submodule_search_locations or []
    return spec


def _find_in(name: str, path: list[str]) -> importlib.machinery.ModuleSpec | None:
    portions: list[str] = []
    for entry in path:
        spec = importlib.machinery.FileFinder(entry, *_LOADERS).find_spec(name)
        if spec is not None and spec.loader is not None:
            return spec
        portions += (spec.submodule_search_locations or []) if spec is not None else []
    if not portions:
        return None
    spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = portions
    return spec
