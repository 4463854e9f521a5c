"""Documentation: generated parts match the code, and the site has no broken link."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
NOTICE = "<!-- Written by docs/generator; `script/docs` writes it again. -->\n"
# Lines of a page that a person has to read; a page of generated tables is searched, not read.
MOST_LINES = {"tutorial": 200, "how-to": 120, "reference": 200, "explanation": 120}
# Written by `scenarios/real-fleet/run --page`, with a row for each agent.
REPORTS = ("explanation/real-fleet.md",)
_LOADED = re.compile(r"""<(?:link|script|img|iframe|source)\b[^>]*?(?:href|src)=["'](https?:)?//""")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True)


def test_generated_docs_match_code() -> None:
    done = _run("docs/generator", "--check")
    assert done.returncode == 0, done.stderr[-3000:]


def test_docs_check_reports_stale_page_with_command_to_write_it(tmp_path: Path) -> None:
    copy = tmp_path / "docs"
    for path in DOCS.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            (copy / path.relative_to(DOCS)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(DOCS)).write_bytes(path.read_bytes())
    page = copy / "reference" / "states.md"
    page.write_text(page.read_text().replace("| `waiting` | `start` |", "| `waiting` | `begin` |"))
    gone = copy / "reference" / "verbs" / "gone.md"
    gone.write_text((copy / "reference" / "verbs" / "up.md").read_text())
    done = _run(str(copy / "generator"), "--check")
    assert done.returncode == 1
    assert "error: `docs/reference/states.md` is stale" in done.stderr
    assert "error: `docs/reference/verbs/gone.md` is stale" in done.stderr
    assert done.stderr.endswith("hint: script/docs\n")
    assert _run(str(copy / "generator")).returncode == 0
    assert not gone.exists()
    assert page.read_text() == (DOCS / "reference" / "states.md").read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = _run("-m", "mkdocs", "build", "--strict", "--site-dir", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_docs_site_builds_every_page_without_warning(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    built = {path.relative_to(site) for path in site.rglob("*.html")}
    index = {path.with_name("index.html") if path.stem == "README" else path for path in pages}
    assert index <= built


def test_docs_site_loads_no_external_resource(site: Path) -> None:
    found = [path.name for path in site.rglob("*.html") if _LOADED.search(path.read_text())]
    assert found == []
    imported = [
        path.name
        for path in site.rglob("*.css")
        if re.search(r"""(@import|url\()\s*["']?(https?:)?//""", path.read_text())
    ]
    assert imported == []


def test_broken_link_or_anchor_fails_docs_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    settings = (ROOT / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(settings[: settings.index("not_in_nav:")] + "nav: [index.md]\n")
    (tmp_path / "docs" / "site.css").write_text("")
    for text in ("[a page](gone.md)", "[a section](#gone)", "[outside](../README.md)"):
        (tmp_path / "docs" / "index.md").write_text(f"# Start\n\n{text}\n")
        done = _run("-m", "mkdocs", "build", "-f", str(tmp_path / "mkdocs.yml"), "-d", str(tmp_path / "site"))
        assert done.returncode != 0, text


@pytest.mark.parametrize("folder", MOST_LINES)
def test_docs_page_stays_within_line_limit(folder: str) -> None:
    lines = {
        str(path.relative_to(DOCS)): len(
            re.sub(r"<!-- generated.*?<!-- end", "", text, flags=re.DOTALL).splitlines()
        )
        for path in (DOCS / folder).rglob("*.md")
        if not (text := path.read_text()).endswith(NOTICE)
    }
    assert {
        page: count for page, count in lines.items() if count > MOST_LINES[folder] and page not in REPORTS
    } == {}
