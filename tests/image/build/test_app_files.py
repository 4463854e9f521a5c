"""App files: data files and argosy modules that go into an image."""

from __future__ import annotations

from pathlib import Path

from argosy.image.build.app_files import copy_argosy, data_files, runtime_files


def test_data_files_include_named_files_but_no_secrets(tmp_path: Path) -> None:
    files = {
        "a.py": 'OPEN = ["config/a.yaml", "words.txt", "api.key", "db_password.txt", "https://x.y/z.json", '
        '".hidden.txt"]\n',
        "config/a.yaml": "",
        "old/a.yaml": "",
        "data/words.txt": "",
        "api.key": "",
        "db_password.txt": "",
        "z.json": "",
        ".hidden.txt": "",
        "other.txt": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert data_files(tmp_path, ["a.py"]) == ("config/a.yaml", "data/words.txt")


def test_copy_argosy_leaves_out_packages_unused_in_containers(tmp_path: Path) -> None:
    _, files = runtime_files()
    assert {"agent/agent.py", "image/runtime/container_init.py", "engine/supervisor/entrypoint.py"} <= set(
        files
    )
    assert not [name for name in files if name.startswith(("refit/", "hub/", "fleet/importers/"))]
    assert "image/build/image_builder.py" not in files
    copy_argosy(tmp_path, "site")
    assert len(list((tmp_path / "site/argosy").rglob("*.py"))) == len(files)
