"""Small trees with a fleet file, for tests of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from argosy.fleet import Fleet, load_fleet


def make_tree(folder: Path, files: Mapping[str, str]) -> Fleet:
    """Write the files, `fleet.yaml` among them, and return the fleet."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load_fleet(folder / "fleet.yaml")
