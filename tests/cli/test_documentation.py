"""Documentation pages: every shell block is run with the files as printed, and prints what it shows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rig.fleet import ARGOSY, Rig
from rig.pages import ROOT, blocks_of, script_of

# Each page, and what its commands must have printed.
PAGES = {
    "README.md": [
        '"status": "ok"',
        '"text": "HELLO"',
        "ready before: 2 agents; ready again: 2",
        "mabuting umaga",
    ],
    "docs/tutorial/first-fleet.md": [
        "mabuting umaga",
        "mabuting gabi",
        "(2 ran already)",
    ],
    "docs/how-to/write-an-agent.md": [
        '"text": "mabuting umaga"',
        "translate(text: str, to: str = 'en') -> agents.translator.Translation",
    ],
}
# What a test cannot run: it is of the network, or the size of a suite.
MOST_NOT_RUN = {"README.md": 3, "docs/tutorial/first-fleet.md": 1, "docs/how-to/write-an-agent.md": 0}


def bring_down(rig: Rig) -> None:
    for fleet in rig.folder.rglob("fleet.yaml"):
        rig.argosy("down", "--fleet", str(fleet))


@pytest.mark.parametrize("page", PAGES)
def test_shell_blocks_of_page_run_as_printed(rig: Rig, page: str) -> None:
    folder = rig.folder / "page"
    folder.mkdir()
    env = {name: value for name, value in rig.env.items() if name != "ENV_TYPE"}
    env["PATH"] = f"{Path(ARGOSY).parent}:{env['PATH']}"
    env["PAGE"] = str(folder)
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "Reader", f"GIT_{who}_EMAIL": "reader@example.org"}
    try:
        done = subprocess.run(
            ["bash", "-c", script_of(ROOT / page)],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{done.stderr[-3000:]}\n{done.stdout[-3000:]}"
        for words in PAGES[page]:
            assert words in done.stdout
    finally:
        bring_down(rig)


@pytest.mark.parametrize("page", PAGES)
def test_page_has_few_skipped_blocks_each_with_reason(page: str) -> None:
    blocks = list(blocks_of((ROOT / page).read_text()))
    left_out = [block for block in blocks if block.mark == "not run"]
    assert len(left_out) <= MOST_NOT_RUN[page]
    assert all(len(block.words.split()) > 3 for block in left_out), "a reason"
    assert {block.language for block in blocks} <= {"sh", "python", "yaml", "json", "text", ""}
    assert any(block.language == "sh" and not block.mark for block in blocks)
