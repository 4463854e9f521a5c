"""Containerfile of an image plan: GPU support only for images that compute on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.cli import main
from argosy.fleet.dockerfile import INSTRUCTIONS, read_instructions
from argosy.image.content.wheels import Wheel
from argosy.image.lock import ImageLock
from argosy.image.manifests.containerfile import render_containerfile
from argosy.image.plan.container_plan import ContainerPlan, plan_containers
from argosy.image.plan.image_plan import ImagePlan, plan_images
from rig.trees import make_tree

FILES = {
    "fleet.yaml": """
fleet: harbour
machines: {big: {gpu: "RTX 4090"}, small: {gpu: "RTX 3060"}}
agents:
  Words: {run: words.py, machine: big, group: words, port: 7000}
  Mind: {run: mind.py, machine: big, group: mind, port: 7001, env: {NOTE: "a $b"}}
  Little: {run: mind.py, machine: small, group: little, port: 7002}
""",
    "words.py": "import numpy\n",
    "mind.py": "import torch, llama_cpp\ntorch.zeros(3)\n",
}


@pytest.fixture
def plan(tmp_path: Path) -> ImagePlan:
    return plan_images(make_tree(tmp_path, FILES))


@pytest.fixture
def containers(plan: ImagePlan) -> ContainerPlan:
    return plan_containers(plan)


def test_containerfile_passes_cuda_architecture_of_machine(
    plan: ImagePlan, containers: ContainerPlan
) -> None:
    for name, number in (("mind", "89"), ("little", "86")):
        text = render_containerfile(plan.images[name], containers, None)
        assert f"ARG CUDA_ARCHITECTURE={number}\n" in text
        assert 'ENV CMAKE_ARGS="-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURE}"\n' in text
        assert "FROM nvidia/cuda:" in text


def test_containerfile_without_gpu_agent_has_no_cuda(plan: ImagePlan, containers: ContainerPlan) -> None:
    text = render_containerfile(plan.images["words"], containers, None)
    assert not [
        word
        for word in ("cuda", "CUDA", "torch")
        if word in text.partition("RUN printf")[2].partition("fleet: harbour")[0]
    ]
    assert "--only-binary=:all:" in text


def test_containerfile_is_valid_and_complete(plan: ImagePlan, containers: ContainerPlan) -> None:
    for image in plan.images.values():
        found = list(read_instructions(render_containerfile(image, containers, None)))
        assert {item.keyword for item in found} <= INSTRUCTIONS
        words = [item.keyword for item in found]
        assert words.count("FROM") == 2
        assert found[-1].argv() == ("python3", "-m", "argosy.image.runtime.container_init")
        (check,) = [item.arguments for item in found if item.keyword == "HEALTHCHECK"]
        assert check == 'CMD ["python3", "-m", "argosy.image.runtime.healthcheck"]'
        assert [item.arguments for item in found if item.keyword == "USER"] == ["10001:10001"]


def test_containerfile_with_lock_pins_packages_by_hash(plan: ImagePlan, containers: ContainerPlan) -> None:
    wheels = (Wheel("numpy", "2.4", "numpy.whl", "ab" * 32), Wheel("torch", "2", "torch.whl", "cd" * 32))
    lock = ImageLock("image-lock/1", "3.13", ("numpy",), (), {}, wheels)
    text = render_containerfile(plan.images["words"], containers, lock)
    assert f"'numpy==2.4 --hash=sha256:{'ab' * 32}'" in text
    assert "--require-hashes" in text
    assert "torch==" not in text


def test_containerfile_command_prints_one_image(
    plan: ImagePlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "containerfile", "--fleet", str(tmp_path), "--only", "mind"]) == 0
    assert capsys.readouterr().out == render_containerfile(plan.images["mind"], plan_containers(plan), None)
    assert main(["image", "containerfile", "--fleet", str(tmp_path)]) == 2
    assert main(["image", "containerfile", "--fleet", str(tmp_path), "--only", "mnd"]) == 2
    assert "did you mean `mind`?" in capsys.readouterr().err
