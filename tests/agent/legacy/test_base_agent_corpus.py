"""Every class of the sample code base that derives from its base agent, run on the BaseAgent of argosy."""

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
def survey() -> ModuleType:
    path = Path(__file__).with_name("class_survey.py")
    spec = importlib.util.spec_from_file_location("class_survey", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["class_survey"] = module
    spec.loader.exec_module(module)
    return module


def test_base_agent_causes_no_failure_of_corpus_classes(corpus: Path, survey: ModuleType) -> None:
    require("unshare", "ip")
    _, why_not = survey.namespace()
    if why_not:
        pytest.skip(why_not)
    tree = survey.read_tree(corpus)
    tried = survey.try_all(corpus, tree)
    assert [(t.path, t.name) for t in tried] == [(c.path, c.name) for c in tree.classes]
    assert len(tried) > 100
    answered = [t for t in tried if t.outcome == "answered"]
    assert answered
    assert all(t.is_own and t.status in HEALTH for t in answered)
    assert all(t.error for t in tried if t.outcome != "answered")
    own = [t for t in tried if survey.is_bases_own(t, tree.provided)]
    assert not own, survey.table(own, tree.provided)
