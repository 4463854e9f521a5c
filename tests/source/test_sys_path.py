"""Additions to sys.path: the analysis agrees with the running script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, read_source
from argosy.source.sys_path import PathAdditions, find_path_additions


def additions(path: Path) -> PathAdditions:
    source = read_source(path)
    assert isinstance(source, SourceText)
    found = parse(source)
    assert isinstance(found, Parsed)
    return find_path_additions(found)


@pytest.mark.parametrize(
    "text",
    [
        "sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))",
        "sys.path.append(os.path.join(os.path.dirname(__file__), '..', 'lib'))",
        "sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), '../..', 'main')))",
        "sys.path.append(str(Path(__file__).resolve().parent.parent))",
        "sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'lib'))",
        "ROOT = Path(__file__).absolute().parent\n"
        "if str(ROOT) not in sys.path:\n    sys.path.insert(0, ROOT.as_posix())",
        "sys.path.extend([os.path.dirname(__file__), '/opt/lib'])",
        "sys.path += ['/opt/lib']",
        "sys.path[:0] = ['/opt/lib']",
        "sys.path = ['/opt/lib'] + sys.path",
        "def main():\n    sys.path.append('/opt/lib')\nmain()",
    ],
)
def test_path_additions_agree_with_running_script(tmp_path: Path, text: str) -> None:
    script = tmp_path / "tree" / "agents" / "agent.py"
    script.parent.mkdir(parents=True)
    script.write_text(f"import os, sys\nfrom pathlib import Path\nbefore = list(sys.path)\n{text}\n")
    shown = "print(*[p for p in sys.path if p not in before] or before[:1], sep='\\n')\n"
    with script.open("a") as file:
        file.write(shown)
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(script)], capture_output=True, text=True, check=True
    )
    found = additions(script)
    assert found.is_complete
    assert {Path(line).resolve() for line in run.stdout.split("\n") if line} <= {
        Path(folder).resolve() for folder in found.folders
    } | {script.parent}
    assert found.folders


@pytest.mark.parametrize(
    "text",
    [
        "sys.path.insert(0, get_root())",
        "sys.path.insert(0, ROOT)",
        "sys.path.insert(0, os.environ['ROOT'])",
        "sys.path.extend(more)",
        "sys.path = more",
        "A = A\nsys.path.append(A)",
        "A = B\nB = A\nsys.path.append(A)",
    ],
)
def test_unknown_path_addition_is_marked_incomplete(tmp_path: Path, text: str) -> None:
    script = tmp_path / "agent.py"
    script.write_text(f"import os, sys\n{text}\n")
    assert additions(script) == PathAdditions((), is_complete=False)


def test_script_without_path_additions_has_none(tmp_path: Path) -> None:
    script = tmp_path / "agent.py"
    script.write_text("import sys\nprint(sys.path)\nmy.path.append('x')\n")
    assert additions(script) == PathAdditions()
