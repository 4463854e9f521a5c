"""Image sizes: measured from the lock and from the last build; shared parts count once."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.cli import main
from argosy.image.build.build_record import LAYOUT_FOLDER, BuildRecord, BuiltImageEntry, read_build_record
from argosy.image.build.image_size import measure_images, measure_plan
from argosy.image.build.smoke_test import SmokeTestResult
from argosy.image.content.wheels import Wheel
from argosy.image.lock import ImageLock, read_lock, write_lock
from argosy.image.plan.image_plan import Image, plan_images, runtime_packages
from rig.trees import make_tree

OWN = runtime_packages()
FILES = {
    "fleet.yaml": """
fleet: harbour
machines: {big: {gpu: "RTX 4090"}, small: {}}
agents:
  Seer: {run: seer.py, machine: big, group: all}
  Sum: {run: sums.py, machine: big, group: all}
  Far: {run: sums.py, machine: small, group: far}
""",
    "seer.py": "import torch\nimport numpy\nprint(torch.zeros(3))\n",
    "sums.py": "import numpy\n",
}
UNGROUPED = {
    **FILES,
    "fleet.yaml": FILES["fleet.yaml"].replace(", group: all", "").replace(", group: far", ""),
}


def wheel(name: str, size_bytes: int, *needs: str) -> Wheel:
    return Wheel(name, "1", f"{name}.whl", "ab", needs, size_bytes)


def lock_of(*wheels: Wheel) -> ImageLock:
    own = tuple(wheel(name, 1) for name in OWN)
    return ImageLock("image-lock/1", "3.13", (), (), {}, (*own, *wheels))


WHEELS = (wheel("torch", 7_000_000, "jinja2"), wheel("jinja2", 500_000), wheel("numpy", 2_000_000))


def test_plan_size_counts_shared_wheels_once_and_includes_dependencies(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, UNGROUPED))
    write_lock(lock_of(*WHEELS), tmp_path / "images.lock")
    measured = measure_plan(plan)
    each = {name: weight.wheels_bytes for name, weight in measured.images.by_name.items()}
    own = len(OWN)
    assert each == {
        "big-torch": 9_500_000 + own,
        "big-light": 2_000_000 + own,
        "small-light": 2_000_000 + own,
    }
    assert measured.images.deduplicated.wheels_bytes == 9_500_000 + own
    assert measured.images.unshared.wheels_bytes == 13_500_000 + 3 * own
    assert measured.unknown_reason == ""


def test_image_plan_without_lock_explains_how_to_get_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(tmp_path, UNGROUPED)
    assert main(["image", "plan", "--fleet", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("proposed by imports, since the fleet file has no groups:\n")
    assert "`argosy image lock` writes one" in text
    assert "MB" not in text


@pytest.mark.parametrize(
    ("lock", "why"),
    [
        (lock_of(*WHEELS[1:]), "lacks `torch`"),
        (lock_of(wheel("torch", 0), wheel("numpy", 1)), "has no sizes of its wheels"),
        (msgspec.structs.replace(lock_of(*WHEELS), python="3.9"), "for Python 3.9"),
    ],
)
def test_plan_size_is_unknown_when_lock_lacks_data(lock: ImageLock, why: str, tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    write_lock(lock, tmp_path / "images.lock")
    measured = measure_plan(plan)
    assert why in measured.unknown_reason
    assert measured.images.by_name["all"].wheels_bytes is None
    assert measured.images.deduplicated.wheels_bytes is None


def test_plan_size_reports_unreadable_lock(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    (tmp_path / "images.lock").write_text("{")
    assert "not a lock of images" in measure_plan(plan).unknown_reason
    (tmp_path / "images.lock").unlink()
    (tmp_path / "images.lock").mkdir()
    assert "cannot be read" in measure_plan(plan).unknown_reason


def test_read_lock_accepts_old_key(tmp_path: Path) -> None:
    path = tmp_path / "images.lock"
    write_lock(lock_of(*WHEELS), path)
    lock = read_lock(path)
    path.write_text(path.read_text().replace('"requested"', '"asked"'))
    assert read_lock(path) == lock


def test_read_build_record_accepts_old_keys(tmp_path: Path) -> None:
    result = SmokeTestResult("namespaces", 1, {"way": "ImportError"}, 0, 0, (), 0.0, 0.0)
    built(tmp_path, proof=msgspec.structs.replace(entry(("way",)), smoke_test=result))
    record = read_build_record(tmp_path)
    path = tmp_path / LAYOUT_FOLDER / "images.json"
    path.write_text(path.read_text().replace('"smoke_test"', '"proof"').replace('"method"', '"way"'))
    assert record.images["proof"].smoke_test == result
    assert read_build_record(tmp_path) == record


def built(tmp_path: Path, **images: BuiltImageEntry) -> None:
    (tmp_path / LAYOUT_FOLDER).mkdir(parents=True)
    (tmp_path / LAYOUT_FOLDER / "images.json").write_bytes(msgspec.json.encode(BuildRecord(dict(images))))


def entry(agents: tuple[str, ...], **layers: int) -> BuiltImageEntry:
    return BuiltImageEntry("d", agents, sum(layers.values()), 1, tuple(layers), None, tuple(layers.values()))


def test_image_plan_shows_proposed_groups_beside_declared_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(tmp_path, FILES)
    write_lock(lock_of(*WHEELS), tmp_path / "images.lock")
    built(
        tmp_path,
        all=entry(("Sum", "Seer"), base=30_000_000, numpy=2_500_000, torch=9_000_000),
        far=entry(("Far",), base=30_000_000, numpy=2_500_000),
    )
    assert main(["image", "plan", "--fleet", str(tmp_path), "--propose"]) == 0
    text = capsys.readouterr().out
    assert "small-light   1 agents    1 files   2 packages  wheels 2.0 MB  32.5 MB when built last\n" in text
    assert "in the fleet file, 2 images:\nwheels of the lock: 9.5 MB, 11.5 MB without sharing\n" in text
    assert "as built: 41.5 MB, 74.0 MB without sharing\n" in text
    assert "3 agents = 3 in 3 proposed images" in text

    assert main(["image", "plan", "--fleet", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {item["name"]: item["size"] for item in answer["proposed"]} == {
        "big-torch": None,
        "big-light": None,
        "small-light": 32_500_000,
    }
    assert answer["weights"]["proposed"]["size"] is None
    assert answer["weights"]["images"]["size"] == 41_500_000
    assert answer["images"]["far"]["wheels"] == 2_000_000 + len(OWN)


def test_built_size_is_ignored_when_image_has_other_agents(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    built(tmp_path, all=entry(("Seer",), base=1), far=entry(("Far",), base=1))
    measured = measure_plan(plan)
    assert {name: weight.built_bytes for name, weight in measured.images.by_name.items()} == {
        "all": None,
        "far": 1,
    }


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 99), min_size=1),
    st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=5),
)
def test_deduplicated_size_is_union_and_unshared_size_is_sum(
    sizes: dict[str, int], groups: list[set[str]]
) -> None:
    lock = lock_of(*(wheel(name, size) for name, size in sizes.items()))
    images = [
        Image(f"g{at}", "p", None, (), tuple(sorted(names & sizes.keys())), (), None, ())
        for at, names in enumerate(groups)
    ]
    weights = measure_images(images, lock, BuildRecord())
    union = {name for image in images for name in image.packages}
    own = len(OWN)
    assert weights.deduplicated.wheels_bytes == sum(sizes[name] for name in union) + own
    assert weights.unshared.wheels_bytes == sum(
        sizes[name] for image in images for name in image.packages
    ) + own * len(images)
