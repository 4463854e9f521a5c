"""Metric-only imports: reading a statistic is not a computation."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.image.plan.metric_only_imports import find_metric_only_import


@pytest.mark.parametrize(
    "text",
    [
        "import torch\nprint(torch.cuda.memory_allocated())\n",
        "import torch as t\nif t.cuda.is_available():\n    t.cuda.empty_cache()\n",
        "from torch import cuda\ncuda.mem_get_info()\n",
        "from torch.cuda import memory_reserved as held\nheld()\n",
        "import torch.cuda\ntorch.cuda.get_device_properties(0).total_memory\n",
        "import torch\n",
    ],
)
def test_import_used_for_statistics_is_metric_only(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.py"
    file.write_text(text)
    assert find_metric_only_import(str(file), "torch", "a.py") is not None


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.zeros(3)\n",
        "import torch\nprint(torch.cuda.memory_allocated(), torch.device('cuda'))\n",
        "from torch import nn\nclass N(nn.Module): ...\n",
        "from torch import *\n",
        "import torch\nrun(torch)\n",
        "import torch\ntorch.cuda.Stream()\n",
        "import torch\ndef f(:\n",
    ],
)
def test_import_used_for_computation_is_not_metric_only(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.py"
    file.write_text(text)
    assert find_metric_only_import(str(file), "torch", "a.py") is None


def test_package_without_statistics_is_never_metric_only(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("import scipy\nscipy.__version__\n")
    assert find_metric_only_import(str(file), "scipy", "a.py") is None
