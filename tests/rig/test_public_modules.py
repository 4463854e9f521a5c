"""The import linter contract on public modules, checked on a small package of each kind."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest

from rig import public_modules
from rig.public_modules import PublicModulesContract


@pytest.mark.parametrize(
    ("docstring", "broken"),
    [
        ("Things.\n\nFrom outside: `named`.", []),
        (
            "Things.",
            ["house.shop imports house.store.named: the docstring of house.store does not name `named`"],
        ),
        (
            "Things.\n\nFrom outside: `gone`,\n`named`.",
            ["the docstring of house.store names `gone`, which is not in it"],
        ),
    ],
)
def test_import_of_unnamed_module_breaks_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docstring: str, broken: list[str]
) -> None:
    (tmp_path / "house" / "store").mkdir(parents=True)
    (tmp_path / "house" / "__init__.py").write_text("")
    (tmp_path / "house" / "shop.py").write_text("from house.store.named import x\n")
    (tmp_path / "house" / "store" / "__init__.py").write_text(f'"""{docstring}\n"""\n')
    (tmp_path / "house" / "store" / "named.py").write_text("from house.store.private import x\n")
    (tmp_path / "house" / "store" / "private.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(public_modules, "SOURCE", tmp_path)
    graph = grimp.build_graph("house", cache_dir=None)
    contract = PublicModulesContract(name="public", session_options={}, contract_options={})
    check = contract.check(graph, verbose=False)
    assert (check.kept, check.metadata["broken"]) == (not broken, broken)
