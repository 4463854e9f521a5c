"""Wheels: their metadata, and where an image puts their files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec
import pytest

from argosy.fault import InputError, RefusedError
from argosy.image.build.sbom import bill_of_materials
from argosy.image.content.debian import DebianPackage, needed_libraries
from argosy.image.content.wheels import Wheel, read_wheel, required_closure, unpack_wheel
from argosy.image.lock import ImageLock, read_lock, write_lock

METADATA = """Metadata-Version: 2.1
Name: Odd_Name
Requires-Dist: Zope.Interface (>=5)
Requires-Dist: tomli>=2; python_version < "3.11"
Requires-Dist: pywin32; sys_platform == "win32"
Requires-Dist: uvloop; platform_system == "Linux" and extra == "fast"
Requires-Dist: numpy>=2; python_version >= "3.12"
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "odd_name-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("odd_name/__init__.py", "def main(): ...\n")
        archive.writestr("odd_name-1.2.dist-info/METADATA", METADATA)
        archive.writestr(
            "odd_name-1.2.dist-info/entry_points.txt", "[console_scripts]\nodd = odd_name:main\n"
        )
        archive.writestr("odd_name-1.2.data/scripts/tool", "#!python\nprint()\n")
        archive.writestr("odd_name-1.2.data/data/share/words.txt", "words")
        archive.writestr("odd_name-1.2.data/headers/odd.h", "")
    return path


def test_read_wheel_selects_requirements_of_image_python(wheel: Path) -> None:
    found_wheel = msgspec.structs.replace(read_wheel(wheel, "0"), unpacked_bytes=0)
    assert found_wheel == Wheel("odd-name", "1.2", wheel.name, "0", ("numpy", "zope-interface"))


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ("../../out", ""),
        ("/tmp/argosy-out", ""),
        ("evil/../../../out", ""),
        ("evil.data/scripts/../../../out", ""),
        ("evil.data/data//out/../../../../out", ""),
        ("..\\out", ""),
        ("evil-1.dist-info/entry_points.txt", "[console_scripts]\n../../../../out = evil:main\n"),
        ("evil-1.dist-info/entry_points.txt", "[console_scripts]\n/out = evil:main\n"),
        ("evil-1.dist-info/entry_points.txt", "[console_scripts]\n.. = evil:main\n"),
        ("evil-1.dist-info/entry_points.txt", "[console_scripts]\nout = evil:main();import os\n"),
    ],
)
def test_unpack_wheel_refuses_path_traversal_before_writing(member: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "evil-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/__init__.py", "")
        archive.writestr(member, text)
    root = tmp_path / "one" / "two" / "three" / "root"
    with pytest.raises(RefusedError, match=r"`evil-1-py3-none-any.whl` is refused"):
        unpack_wheel(path, root, "lib/site")
    assert sorted(tmp_path.rglob("*")) == [path]


def test_unpack_wheel_places_files_by_install_scheme(wheel: Path, tmp_path: Path) -> None:
    unpack_wheel(wheel, tmp_path / "root", "lib/site")
    root = tmp_path / "root"
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert found == {
        "lib/site/odd_name/__init__.py",
        "lib/site/odd_name-1.2.dist-info/METADATA",
        "lib/site/odd_name-1.2.dist-info/entry_points.txt",
        "usr/local/bin/odd",
        "usr/local/bin/tool",
        "usr/local/share/words.txt",
    }
    assert (root / "usr/local/bin/tool").read_text() == "#!/usr/bin/python3\nprint()\n"
    assert "from odd_name import main" in (root / "usr/local/bin/odd").read_text()
    assert (root / "usr/local/bin/odd").stat().st_mode & 0o111


def test_required_closure_ignores_missing_wheels() -> None:
    wheels = {
        "a": Wheel("a", "1", "", "", ("b",)),
        "b": Wheel("b", "1", "", "", ("a", "gone")),
        "c": Wheel("c", "1", "", ""),
    }
    assert required_closure(["a"], wheels) == {"a", "b"}


def test_lock_round_trips(tmp_path: Path) -> None:
    lock = ImageLock(
        argosy="image-lock/1",
        python="3.13",
        requested=("a",),
        base=(DebianPackage("libc6", "2.41", "ab", "libc6.deb"),),
        system={"libportaudio2": (DebianPackage("libportaudio2", "19", "cd", "p.deb"),)},
        wheels=(Wheel("a", "1", "a.whl", "ef", ("b",)), Wheel("b", "2", "b.whl", "01")),
    )
    write_lock(lock, tmp_path / "images.lock")
    assert read_lock(tmp_path / "images.lock") == lock
    assert [wheel.name for wheel in lock.wheels_for(("a",))] == ["a", "b"]
    (tmp_path / "old").write_bytes(msgspec.json.encode(msgspec.structs.replace(lock, python="3.9")))
    for name in ("none", "old"):
        with pytest.raises(InputError, match=r"argosy image lock"):
            read_lock(tmp_path / name)


def test_bill_of_materials_is_deterministic() -> None:
    wheels = (Wheel("a", "1", "a.whl", "ef", ("b",)), Wheel("b", "2", "b.whl", "01"))
    packages = (DebianPackage("libc6", "1:2.41+x", "ab", ""),)
    text = bill_of_materials("f/core", packages, wheels)
    assert text == bill_of_materials("f/core", packages, wheels)
    value = msgspec.json.decode(text)
    assert [item["purl"] for item in value["components"][:3]] == [
        "pkg:deb/debian/libc6@1%3A2.41%2Bx?arch=amd64",
        "pkg:pypi/a@1",
        "pkg:pypi/b@2",
    ]
    assert value["dependencies"][0] == {"ref": "pkg:pypi/a@1", "dependsOn": ["pkg:pypi/b@2"]}


def test_needed_libraries_reads_elf_dependencies(tmp_path: Path) -> None:
    import _ctypes  # noqa: PLC0415 - a library of machine code that every Python has

    needed = needed_libraries(Path(_ctypes.__file__))
    assert any(name.startswith("libffi.so") for name in needed)
    (tmp_path / "text").write_text("no machine code")
    (tmp_path / "cut").write_bytes(Path(_ctypes.__file__).read_bytes()[:100])
    assert needed_libraries(tmp_path / "text") == needed_libraries(tmp_path / "cut") == ()


def test_unpacked_size_of_wheel_equals_written_bytes(wheel: Path, tmp_path: Path) -> None:
    unpack_wheel(wheel, tmp_path / "root", "lib/site")
    (tmp_path / "root/usr/local/bin/odd").unlink()  # a command is made of an entry point, not of a member
    tool = tmp_path / "root/usr/local/bin/tool"
    tool.write_bytes(tool.read_bytes().replace(b"#!/usr/bin/python3", b"#!python"))
    laid = sum(path.stat().st_size for path in (tmp_path / "root").rglob("*") if path.is_file())
    assert read_wheel(wheel, "0").unpacked_bytes == laid > 0
