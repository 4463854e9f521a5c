"""The table of what tests need from the system, and what a run says of what it skipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rig.interpreters import ROOT
from rig.tools import TOOLS, Tool, account, find, lacking, read_table, refused

TABLE = """
# a comment
ip    iproute2
gcc   gcc,python3-dev   # with one behind it
runc  runc    optional
"""


def test_the_table_is_read() -> None:
    tools = read_table(TABLE)
    assert {name: (tool.packages, tool.is_optional) for name, tool in tools.items()} == {
        "ip": ("iproute2", False),
        "gcc": ("gcc python3-dev", False),
        "runc": ("runc", True),
    }


def test_what_is_missing_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rsync").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lacking("rsync") == ""
    assert lacking("rsync", "ip", "podman") == "needs ip (iproute2), podman (podman)"
    assert find("rsync") == str(tmp_path / "rsync")


def test_a_file_that_is_no_program_is_found_by_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    header = tmp_path / "portaudio.h"
    monkeypatch.setitem(TOOLS, str(header), Tool(str(header), "portaudio19-dev", is_optional=False))
    assert lacking(str(header)) == f"needs {header} (portaudio19-dev)"
    header.touch()
    assert lacking(str(header)) == ""


def test_skips_are_counted_by_their_reasons() -> None:
    reasons = ["needs ip (iproute2)"] * 3 + ["root may\nread everything"] + ["needs gcc (gcc python3-dev)"]
    assert account(reasons) == (
        "skipped: 3 need ip (iproute2), 1: root may read everything, 1 needs gcc (gcc python3-dev)"
    )
    assert account([]) == ""


def test_only_what_is_left_out_of_the_installation_may_be_missing_in_ci() -> None:
    assert refused(["needs ip (iproute2), podman (podman)", "root may read everything"]) == ("ip",)
    assert refused(["needs podman (podman), runc (runc)"]) == ()


def test_every_tool_that_a_test_names_is_in_the_table() -> None:
    named = re.compile(r"\b(?:require|needs|lacking)\(((?:\"[\w./-]+\"(?:, )?)+)\)")
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
def test_a_run_without_tools_says_what_it_skipped_and_fails_in_ci(
    tmp_path: Path, is_ci: bool, code: int
) -> None:
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


def test_a_plain_user_is_told_what_the_system_lacks_and_goes_on(tmp_path: Path) -> None:
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


def test_a_python_without_its_venv_package_is_told_with_the_package(tmp_path: Path) -> None:
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
