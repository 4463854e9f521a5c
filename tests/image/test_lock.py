"""Machine locks: the part of the fleet's lock that one machine needs, as pip requirements."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from argosy.cli import main
from argosy.image import lock as lock_module
from argosy.image.content.debian import BASE_PACKAGES, DebianPackage
from argosy.image.content.wheels import Wheel, read_wheel
from argosy.image.lock import ImageLock, lock_machines, read_lock, write_machine_locks
from argosy.image.plan.image_plan import plan_images, runtime_packages
from rig.trees import make_tree

FILES = {
    "fleet.yaml": """
fleet: harbour
machines: {big: {}, small.one: {}, idle: {}}
agents:
  Ear: {run: ear.py, machine: big, group: ears}
  Sum: {run: sums.py, machine: big, group: rest}
  Far: {run: sums.py, machine: small.one, group: far}
""",
    "ear.py": "import sounddevice\n",
    "sums.py": "import numpy\n",
}
OWN = tuple(Wheel(name, "1", f"{name}.whl", "00") for name in runtime_packages())
LOCK = ImageLock(
    argosy="image-lock/1",
    python="3.13",
    requested=(),
    base=(),
    system={
        "libasound2-data": (DebianPackage("libasound2-data", "1.2", "ab", "a.deb"),),
        "libportaudio2": (
            DebianPackage("libasound2t64", "1", "ab", "b.deb"),
            DebianPackage("libportaudio2", "19", "cd", "c.deb"),
        ),
    },
    wheels=(
        *OWN,
        Wheel("cffi", "2", "cffi.whl", "c1"),
        Wheel("numpy", "3", "numpy.whl", "a1"),
        Wheel("sounddevice", "4", "sounddevice.whl", "5d", ("cffi",)),
    ),
)


def test_machine_lock_contains_only_packages_of_its_agents(tmp_path: Path) -> None:
    locks = lock_machines(plan_images(make_tree(tmp_path, FILES)), LOCK)
    own = sorted(wheel.name for wheel in OWN)
    names = {each.path.name: [wheel.name for wheel in each.wheels] for each in locks}
    assert names == {
        "images.big.lock": sorted([*own, "cffi", "numpy", "sounddevice"]),
        "images.small.one.lock": sorted([*own, "numpy"]),
    }
    write_machine_locks(locks)
    text = (tmp_path / "images.big.lock").read_text()
    assert "what 2 agents of `big` need" in text
    assert "# Debian: libportaudio2=19\n" in text
    assert "libasound2t64" not in text
    assert "\ncffi==2 --hash=sha256:c1\n" in text
    assert "sounddevice" not in (tmp_path / "images.small.one.lock").read_text()


def test_partial_lock_covers_only_machines_with_all_images(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    assert [each.machine for each in lock_machines(plan, LOCK, ("far", "ears"))] == ["small.one"]


def test_machine_locks_do_not_count_as_requirements(tmp_path: Path) -> None:
    write_machine_locks(lock_machines(plan_images(make_tree(tmp_path, FILES)), LOCK))
    assert plan_images(make_tree(tmp_path, FILES)).unused == {}


def test_image_lock_command_writes_machine_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(tmp_path, FILES)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(lock_module.WheelCache, "resolve", lambda *_: LOCK.wheels)
    monkeypatch.setattr(
        lock_module,
        "resolve_packages",
        lambda names: LOCK.base if names == BASE_PACKAGES else LOCK.system[names[0]],
    )
    assert main(["image", "lock", "--fleet", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {name: one["agents"] for name, one in answer["machines"].items()} == {
        "big": ["Ear", "Sum"],
        "small.one": ["Far"],
    }
    fleets = {wheel.requirement for wheel in read_lock(tmp_path / "images.lock").wheels}
    for one in answer["machines"].values():
        lines = [line for line in Path(one["path"]).read_text().splitlines() if not line.startswith("#")]
        assert len(lines) == one["wheels"]
        assert set(lines) <= fleets
    assert main(["image", "lock", "--fleet", str(tmp_path)]) == 0
    assert f"{len(OWN) + 1} wheels for the agents of `small.one`, 1\n" in capsys.readouterr().out


def install(lock: Path, shelf: Path, target: Path) -> subprocess.CompletedProcess[str]:
    words = ["install", "--quiet", "--no-index", "--find-links", str(shelf), "--target", str(target)]
    hashed = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(lock)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words, *hashed]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def make_wheel(shelf: Path, name: str, needs: Iterable[str] = ()) -> Wheel:
    path = shelf / f"{name}-1.0-py3-none-any.whl"
    lines = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0",
        *(f"Requires-Dist: {need}" for need in needs),
    ]
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "x = 1\n")
        archive.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return read_wheel(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_pip_installs_from_machine_lock_and_refuses_changed_wheel(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheels = [
        make_wheel(shelf, name, ["cffi"] if name == "sounddevice" else ()) for name in ("cffi", "sounddevice")
    ]
    lock = ImageLock("image-lock/1", "3.13", (), (), LOCK.system, tuple(wheels))
    ears = {**FILES, "fleet.yaml": "fleet: f\nmachines: {big: {}}\nagents:\n  Ear: {run: ear.py}\n"}
    (made,) = lock_machines(plan_images(make_tree(tmp_path, ears)), lock)
    write_machine_locks([made])
    done = install(made.path, shelf, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "site").glob("*.py")} == {"cffi.py", "sounddevice.py"}
    with zipfile.ZipFile(shelf / "cffi-1.0-py3-none-any.whl", "a") as archive:
        archive.writestr("more.py", "")
    assert "DO NOT MATCH" in install(made.path, shelf, tmp_path / "other").stderr
