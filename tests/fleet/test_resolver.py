"""Resolver: hosts and endpoints by name, as refitted code requests them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLEET = """\
fleet: harbour
machines: {pc1: {}, pc2: {}}
environments:
  development: {pc1: 10.0.0.1, pc2: 10.0.0.2, redis: "10.0.0.9:6379"}
  production: {pc1: 10.0.0.1, pc2: $PC2_IP, redis: 10.0.0.9}
agents:
  Bus: {run: bus.py, machine: pc2, port: 7150}
"""


def ask(folder: Path, expression: str, cwd: Path | None = None, **variables: str) -> str:
    """Return what an expression comes to in a script of `folder`."""
    script = folder / "script.py"
    script.write_text(f"from argosy.fleet.resolver import endpoint, host\nprint(({expression}))\n")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=cwd or "/",
        env={"PATH": os.environ["PATH"], **variables},
        timeout=60,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    inner = tmp_path / "agents" / "deep"
    inner.mkdir(parents=True)
    return inner


def test_resolver_uses_nearest_fleet_file_or_variable(folder: Path, tmp_path: Path) -> None:
    assert ask(folder, "host('pc2'), host('Bus'), host('redis'), endpoint('Bus'), endpoint('redis')") == str(
        ("10.0.0.2", "10.0.0.2", "10.0.0.9", "tcp://10.0.0.2:7150", "tcp://10.0.0.9:6379")
    )
    other = tmp_path / "other.yaml"
    other.write_text(FLEET.replace("10.0.0.2", "10.9.9.9"))
    assert ask(folder, "host('pc2')", ARGOSY_FLEET_FILE=str(other)) == "10.9.9.9"


def test_former_module_name_resolves_same_script(folder: Path) -> None:
    former = "__import__('argosy.fleet.whereabouts', fromlist=['host']).host('pc2')"
    assert ask(folder, former) == ask(folder, "host('pc2')") == "10.0.0.2"


def test_environment_variable_overrides_fleet_without_loading_it(folder: Path, tmp_path: Path) -> None:
    assert ask(folder, "host('pc2', 'PC2_IP', 'OTHER')", OTHER="there") == "there"
    assert ask(folder, "repr(host('pc2', 'PC2_IP'))", PC2_IP="") == "''"
    (tmp_path / "fleet.yaml").unlink()
    assert ask(folder, "host('pc2', 'PC2_IP'), 'yaml' in __import__('sys').modules", PC2_IP="a") == str(
        ("a", False)
    )


def test_resolver_reports_missing_environment_variable_entry_and_file(folder: Path, tmp_path: Path) -> None:
    assert "there is no environment `prod`" in ask(folder, "host('pc2')", ENV_TYPE="prod")
    assert "`$PC2_IP` is not set" in ask(folder, "host('pc2')", ENV_TYPE="production")
    assert ask(folder, "host('pc1')", ENV_TYPE="production") == "10.0.0.1"
    assert "`development` has no entry `pc3`" in ask(folder, "host('pc3')")
    (tmp_path / "fleet.yaml").unlink()
    assert "export ARGOSY_FLEET_FILE=PATH" in ask(folder, "host('pc2')")
    assert ask(folder, "host('pc2')", cwd=_dir_with_fleet_file(tmp_path)) == "10.0.0.2"


def _dir_with_fleet_file(tmp_path: Path) -> Path:
    made = tmp_path / "elsewhere"
    made.mkdir()
    (made / "fleet.yaml").write_text(FLEET)
    return made


def test_resolver_rereads_changed_fleet_file(folder: Path, tmp_path: Path) -> None:
    change = "__import__('pathlib').Path(" + repr(str(tmp_path / "fleet.yaml")) + ").write_text("
    text = repr(FLEET.replace("10.0.0.2", "10.0.0.222"))
    assert ask(folder, f"host('pc2'), {change}{text}) and host('pc2')") == str(("10.0.0.2", "10.0.0.222"))
