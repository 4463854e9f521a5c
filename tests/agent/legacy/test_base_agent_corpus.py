"""Every class of the real code base that derives from its base agent, tried on argosy's."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rig.needs import require

HEALTH = ("starting", "ok", "degraded", "failing", "stopping")

pytestmark = [pytest.mark.corpus, pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.fixture(scope="module")
def old() -> ModuleType:
    path = Path(__file__).with_name("class_survey.py")
    spec = importlib.util.spec_from_file_location("class_survey", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["class_survey"] = module
    spec.loader.exec_module(module)
    return module


def test_no_failure_is_the_bases_own(corpus: Path, old: ModuleType) -> None:
    require("unshare", "ip")
    _, why_not = old.namespace()
    if why_not:
        pytest.skip(why_not)
    tree = old.read_tree(corpus)
    tried = old.try_all(corpus, tree)
    assert [(t.path, t.name) for t in tried] == [(c.path, c.name) for c in tree.classes]
    assert len(tried) > 100
    answered = [t for t in tried if t.outcome == "answered"]
    assert answered
    assert all(t.is_own and t.status in HEALTH for t in answered)
    assert all(t.error for t in tried if t.outcome != "answered")
    own = [t for t in tried if old.is_bases_own(t, tree.provided)]
    assert not own, old.table(own, tree.provided)
