"""The table of system tools that tests need, and the report of what a run skipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rig.interpreters import ROOT
from rig.tools import (
    TOOLS,
    Tool,
    find,
    missing_required_tools,
    missing_tools_reason,
    read_table,
    summarize_skips,
)

TABLE = """
# a comment
ip    iproute2
gcc   gcc,python3-dev   # with one behind it
runc  runc    optional
"""


def test_tool_table_is_parsed() -> None:
    tools = read_table(TABLE)
    assert {name: (tool.packages, tool.is_optional) for name, tool in tools.items()} == {
        "ip": ("iproute2", False),
        "gcc": ("gcc python3-dev", False),
        "runc": ("runc", True),
    }


def test_missing_tool_is_reported_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rsync").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_tools_reason("rsync") == ""
    assert missing_tools_reason("rsync", "ip", "podman") == "needs ip (iproute2), podman (podman)"
    assert find("rsync") == str(tmp_path / "rsync")


def test_tool_table_finds_plain_file_by_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    header = tmp_path / "portaudio.h"
    monkeypatch.setitem(TOOLS, str(header), Tool(str(header), "portaudio19-dev", is_optional=False))
    assert missing_tools_reason(str(header)) == f"needs {header} (portaudio19-dev)"
    header.touch()
    assert missing_tools_reason(str(header)) == ""


def test_skip_summary_counts_skips_by_reason() -> None:
    reasons = ["needs ip (iproute2)"] * 3 + ["root may\nread everything"] + ["needs gcc (gcc python3-dev)"]
    assert summarize_skips(reasons) == (
        "skipped: 3 need ip (iproute2), 1: root may read everything, 1 needs gcc (gcc python3-dev)"
    )
    assert summarize_skips([]) == ""


def test_ci_requires_all_tools_but_optional_ones() -> None:
    assert missing_required_tools(["needs ip (iproute2), podman (podman)", "root may read everything"]) == (
        "ip",
    )
    assert missing_required_tools(["needs podman (podman), runc (runc)"]) == ()


def test_tool_table_has_every_tool_named_in_tests() -> None:
    named = re.compile(r"\b(?:require|needs|missing_tools_reason)\(((?:\"[\w./-]+\"(?:, )?)+)\)")
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    found = {tool.strip('" ') for text in texts for words in named.findall(text) for tool in words.split(",")}
    assert {"unshare", "mount", "openssl"} < found
    assert found <= TOOLS.keys()


SKIPS = """
import pytest
from rig.needs import needs, require

@needs("rsync")
def test_one(): ...

def test_two():
    require("openssl", "podman")

def test_three(): ...
"""


@pytest.mark.parametrize(("is_ci", "code"), [(False, 0), (True, 1)])
def test_run_without_tools_reports_skips_and_fails_in_ci(tmp_path: Path, is_ci: bool, code: int) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(SKIPS)
    (tmp_path / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    env = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT / "tests")}
    env |= {"CI": "true" if is_ci else ""}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "tests")],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "skipped: 1 needs rsync (rsync), 1 needs openssl (openssl), podman (podman)" in done.stdout
    assert ("error: this is CI, and has no openssl, rsync" in done.stdout) is is_ci


def test_system_script_reports_missing_tools_to_plain_user(tmp_path: Path) -> None:
    """`id` says who asks; nothing is installed."""
    for name in ("sed", "tr", "dirname", "cat"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    script = ROOT / "script" / "system"
    done = subprocess.run(
        ["/bin/sh", str(script)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert "rsync" in done.stderr
    assert "hint: apt-get install" in done.stderr
    assert "podman" not in done.stderr


def test_setup_script_names_missing_venv_package(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ensurepip'] = None\n")
    for name in ("sh", "sed", "tr", "dirname", "cat", "cut", "sha256sum"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    env = {"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path), "PYTHON": sys.executable}
    done = subprocess.run(
        [str(ROOT / "script" / "setup"), "dev"],
        env={**env, "ARGOSY_VENV": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
        timeout=30,
    )
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    assert done.returncode == 3, done.stderr
    assert f"note: the system lacks {package}: only root can install it" in done.stderr
    assert f"hint: install the module (Debian: apt-get install {package})" in done.stderr
    assert not (tmp_path / "venv").exists()
