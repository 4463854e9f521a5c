"""Image plan: each agent in exactly one image, and each package with the import that requires it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from argosy.cli import main
from argosy.fleet import load_fleet
from argosy.image.plan.image_plan import plan_images
from rig.trees import make_tree

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "mainpc-pc2" / "fleet.yaml"

FILES = {
    "fleet.yaml": """
fleet: harbour
machines:
  big: {gpu: "RTX 4090"}
  small: {gpu: "RTX 3060"}
  bare: {}
agents:
  Seer: {run: seer.py, machine: big, group: vision}
  Sum: {run: sums/adder.py, machine: big, group: light_ones}
  Torn: {run: torn.py, machine: big, group: light_ones}
  Meter: {run: meter.py, machine: small}
  Mind: {run: mind.py, machine: small}
  Poor: {run: mind.py, machine: bare, port: 7000}
  Server: {run: [redis-server, --port, "7001"], machine: big}
""",
    "seer.py": "import shared.eyes\nimport cv2\n",
    "shared/eyes.py": "def look():\n    import torch\n    return torch.nn.Module()\n",
    "sums/adder.py": "import numpy\ntry:\n    import orjson\nexcept ImportError:\n    orjson = None\n",
    "torn.py": "import yaml\nfrom PIL import (\n    Image,  # of a face\n)\n    import scipy\ndef f(:\n",
    "meter.py": "import torch\nprint(torch.cuda.memory_allocated(), torch.cuda.is_available())\n",
    "mind.py": "import torch\nimport win32api\nimport no_such_thing\nprint(torch.zeros(3))\n",
    "requirements.txt": "torch\nopencv-python\npandas==2.0\nblack\n-r more/requirements.txt\n",
    "more/requirements.txt": "numpy\nFlask\n",
    "Dockerfile": "FROM python:3.12\nRUN pip install pyyaml plotly\n",
}


def test_plan_puts_each_agent_into_exactly_one_image(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    held = [agent for image in plan.images.values() for agent in image.agents]
    assert sorted(held) == sorted(plan.fleet.agents)
    assert set(plan.images) == {"vision", "light-ones", "big-light", "small-torch", "bare-torch"}


def test_image_contains_packages_and_files_its_agents_import(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    assert plan.images["vision"].packages == ("argosy", "opencv-python", "torch")
    assert plan.images["vision"].files == ("seer.py", "shared/eyes.py")
    assert plan.images["vision"].system == ("libgl1", "libglib2.0-0t64")
    assert plan.images["light-ones"].packages == ("argosy", "numpy", "orjson", "pillow", "pyyaml", "scipy")


def test_plan_records_importing_line_of_each_package(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    seer = next(item for item in plan.pulled_in if (item.agent, item.package) == ("Seer", "torch"))
    assert (seer.use.path, seer.use.line, seer.use.import_chain) == ("shared/eyes.py", 2, ("seer.py:1",))
    assert seer.use.conditions == ("lazy",)
    adder = next(item for item in plan.pulled_in if item.package == "orjson")
    assert adder.use.conditions == ("guarded",)


def test_plan_assigns_gpu_of_machine_only_to_computing_agents(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    assert plan.images["vision"].gpu == "sm_89"
    assert plan.images["small-torch"].gpu == "sm_86"
    assert plan.images["bare-torch"].gpu is None
    assert plan.images["light-ones"].gpu is None
    assert [note for note in plan.notes if "`bare`" in note and "`bare-torch`" in note]


def test_metric_only_import_needs_no_gpu(tmp_path: Path) -> None:
    files = {
        **FILES,
        "fleet.yaml": FILES["fleet.yaml"].replace("  Mind: {run: mind.py, machine: small}\n", ""),
    }
    plan = plan_images(make_tree(tmp_path, files))
    assert [(agent, package) for agent, package, _ in plan.metric_only_imports] == [("Meter", "torch")]
    assert plan.images["small-torch"].gpu is None


def test_plan_lists_unused_and_missing_packages(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    assert plan.unused == {
        "flask": ("more/requirements.txt:2",),
        "plotly": ("Dockerfile:2",),
        "pandas": ("requirements.txt:3",),
    }
    assert plan.tools == {"black": ("requirements.txt:4",)}
    assert set(plan.missing) == {"orjson", "pillow", "scipy"}
    assert plan.missing["pillow"].agents == ("Torn",)


def test_plan_leaves_ambiguous_modules_out_of_images(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    assert set(plan.ambiguous_modules) == {"no_such_thing"}
    assert plan.ambiguous_modules["no_such_thing"].agents == ("Mind", "Poor")
    assert plan.other_systems == {"pywin32": ("Mind", "Poor")}
    assert not {"no-such-thing", "pywin32"} & {
        name for image in plan.images.values() for name in image.packages
    }


def test_plan_includes_unparsable_script_and_reports_it(tmp_path: Path) -> None:
    plan = plan_images(make_tree(tmp_path, FILES))
    assert set(plan.unread) == {"Torn", "Server"}
    assert plan.unread["Torn"].startswith("torn.py:5:")


def test_agents_of_cell_share_one_image(tmp_path: Path) -> None:
    plan = plan_images(
        make_tree(
            tmp_path,
            {
                "fleet.yaml": "fleet: f\nagents:\n"
                "  A: {run: a:A, cell: c, group: one}\n  B: {run: a:B, cell: c, group: two}\n"
                "  C: {run: a:C, group: two}\n",
                "a.py": "from argosy.agent import Agent\n"
                "class A(Agent): ...\nclass B(Agent): ...\nclass C(Agent): ...\n",
            },
        )
    )
    assert {name: image.agents for name, image in plan.images.items()} == {"one": ("A", "B"), "two": ("C",)}


def test_image_plan_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_tree(tmp_path, FILES)
    assert main(["image", "plan", "--fleet", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert next(iter(answer.items())) == ("argosy", "image-plan/1")
    assert answer["images"]["vision"]["agents"] == ["Seer"]
    assert answer["images"]["vision"]["gpu"] == "sm_89"
    assert {image["size"] for image in answer["images"].values()} == {None}
    assert "flask" in answer["unused"]
    assert answer["missing"]["scipy"]["where"] == "torn.py:5"


def test_image_plan_command_prints_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_tree(tmp_path, FILES)
    assert main(["image", "plan", "--fleet", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "7 agents = 7 in 5 images (2 with a GPU); 2 partly unread; 3 packages unused" in text
    assert "Meter: `torch` (torch.cuda.is_available, torch.cuda.memory_allocated)" in text


def test_image_plan_command_explains_one_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_tree(tmp_path, FILES)
    assert main(["image", "plan", "--fleet", str(tmp_path), "--package", "torch"]) == 0
    assert "Seer: shared/eyes.py:2 imports `torch` (lazy) by seer.py:1\n" in capsys.readouterr().out
    assert main(["image", "plan", "--fleet", str(tmp_path), "--package", "trch"]) == 2
    assert "did you mean `torch`?" in capsys.readouterr().err


def test_example_fleet_needs_only_argosy_and_msgspec() -> None:
    plan = plan_images(load_fleet(EXAMPLE))
    assert sum(len(image.agents) for image in plan.images.values()) == len(plan.fleet.agents) == 84
    assert {name for image in plan.images.values() for name in image.packages} == {"argosy", "msgspec"}
    assert not plan.missing
    assert not plan.ambiguous_modules


@pytest.mark.corpus
def test_real_fleet_can_be_planned(corpus: Path, tmp_path: Path) -> None:
    target = tmp_path / "fleet.yaml"
    paths = [str(corpus / part / "config" / "startup_config.yaml") for part in ("main_pc_code", "pc2_code")]
    assert main(["import", *paths, "-o", str(target)]) == 0
    fleet = load_fleet(target)
    plan = plan_images(fleet)
    assert sum(len(image.agents) for image in plan.images.values()) == 84
    torch = {item.agent for item in plan.pulled_in if item.package == "torch"}
    assert {"TieredResponder", "AsyncProcessor", "TutorAgent"} <= torch
    assert {"TieredResponder", "AsyncProcessor"} <= {agent for agent, _, _ in plan.metric_only_imports}
    assert set(plan.other_systems) == {"pywin32"}


def test_plan_reports_script_outside_fleet_dir(tmp_path: Path) -> None:
    files = {"fleet.yaml": "fleet: f\nagents:\n  A: {run: ../a.py}\n"}
    plan = plan_images(make_tree(tmp_path / "tree", files))
    (tmp_path / "a.py").write_text("")
    assert plan.unread == {"A": f"`{tmp_path}/a.py` is outside the fleet file's folder, so it is in no image"}
