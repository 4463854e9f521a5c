"""Writes the parts of docs/ that are in the code; `--check` reports those that are stale (exit code 1).

    python docs/generator [--check]

Whole pages (verbs, error codes, rules) end with a comment that names this generator. In other pages a
region between `<!-- generated: NAME -->` and `<!-- end -->` is written, each by a function of `REGIONS`.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import error_codes
import fleet_keys
import protocols
import queries
import rule_pages
import verb_pages
from markdown import NOTICE, fill_regions

DOCS = Path(__file__).resolve().parents[1]
REGIONS = {**fleet_keys.REGIONS, **protocols.REGIONS, **queries.REGIONS, **verb_pages.REGIONS}


def expected_pages() -> dict[Path, str]:
    """Return each page that is generated, or has a generated region, with the text that it should have."""
    whole = {**verb_pages.pages(), **error_codes.pages(), **rule_pages.pages()}
    pages = {DOCS / path: text + NOTICE for path, text in whole.items()}
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text()
        if path not in pages and "<!-- generated: " in text:
            pages[path] = fill_regions(text, REGIONS)
    return pages


def stale_pages() -> dict[Path, str | None]:
    """Return the pages that differ, each with its new text; None for a generated page of nothing."""
    expected = expected_pages()
    stale: dict[Path, str | None] = {
        path: text for path, text in expected.items() if not path.is_file() or path.read_text() != text
    }
    for path in DOCS.rglob("*.md"):
        if path not in expected and path.read_text().endswith(NOTICE):
            stale[path] = None
    return stale


def main(arguments: list[str]) -> int:
    """Write the stale pages, or with `--check` print what differs."""
    stale = stale_pages()
    for path, text in sorted(stale.items()):
        name = str(path.relative_to(DOCS.parent))
        if "--check" in arguments:
            old = path.read_text().splitlines() if path.is_file() else []
            sys.stderr.write(f"error: `{name}` is stale\n")
            sys.stderr.writelines(
                f"{line}\n"
                for line in difflib.unified_diff(
                    old, (text or "").splitlines(), "is", "should be", "", "", 0, ""
                )
            )
        elif text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            sys.stderr.write(f"wrote {name}\n")
    if stale and "--check" in arguments:
        sys.stderr.write("hint: script/docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
