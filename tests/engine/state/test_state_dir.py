"""State directory: separate for each fleet file, private, and short enough for socket paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.state.state_dir import locate_state_dir, runtime_base, short_stem
from argosy.fault import MissingError

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,200}", fullmatch=True)


def test_state_dir_is_separate_per_fleet_file_and_shared_through_symlink(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    variables = {"XDG_STATE_HOME": str(tmp_path)}
    one = locate_state_dir(tmp_path / "a" / "fleet.yaml", variables)
    assert one == locate_state_dir(tmp_path / "b" / "fleet.yaml", variables)
    other = locate_state_dir(tmp_path / "a" / "other.yaml", variables)
    assert {one.path, one.runtime_path}.isdisjoint(other)
    assert one.path.parent == tmp_path / "argosy"


def test_state_dir_renames_old_files_unless_new_file_exists(tmp_path: Path) -> None:
    state_dir = locate_state_dir(tmp_path / "fleet.yaml", {"XDG_STATE_HOME": str(tmp_path)})
    state_dir.path.mkdir(parents=True)
    for name in ("diary", "diary.1", "wills", "imprint.json", "appetite.json", "unit-state"):
        (state_dir.path / name).write_text(name)
    state_dir.rename_old_files()
    assert state_dir.event_log.read_text() == "diary"
    assert state_dir.source_snapshot.read_text() == "imprint.json"
    assert state_dir.memory_history.read_text() == "appetite.json"
    assert state_dir.unit_state.read_text() == "unit-state"
    assert (state_dir.path / "event-log.1").read_text() == "diary.1"
    state_dir.rename_old_files()


@given(NAMES, st.text("abc", min_size=0, max_size=120))
def test_socket_paths_fit_os_limit_for_any_agent_name(agent: str, given_name: str) -> None:
    folder = locate_state_dir("/x/fleet.yaml", {"HOME": "/h", "XDG_RUNTIME_DIR": f"/{given_name}"})
    assert len(os.fsencode(folder.notify_socket(agent))) <= 107
    assert len(os.fsencode(folder.control_socket)) <= 107


def test_runtime_base_uses_xdg_dir_only_if_own_and_short(tmp_path: Path) -> None:
    short = Path("/tmp") / f"argosy-t-{os.getpid()}"
    short.mkdir()
    try:
        assert runtime_base({"XDG_RUNTIME_DIR": str(short)}) == short / "argosy"
    finally:
        short.rmdir()
    fallback = Path(f"/tmp/argosy-{os.getuid()}")
    long = tmp_path / ("x" * 60)
    long.mkdir()
    assert runtime_base({"XDG_RUNTIME_DIR": str(long)}) == fallback
    assert runtime_base({"XDG_RUNTIME_DIR": str(short)}) == fallback  # gone
    assert runtime_base({}) == fallback


@given(st.sets(NAMES, min_size=2, max_size=20))
def test_agents_get_distinct_stems_and_files(agents: set[str]) -> None:
    assert len({short_stem(agent) for agent in agents}) == len(agents)
    folder = locate_state_dir("/x/fleet.yaml", {"HOME": "/h"})
    files = [path for agent in agents for path in (folder.lease_file(agent), folder.log_file(agent))]
    assert len(set(files)) == len(files)


def test_state_dir_create_makes_directories_private(tmp_path: Path) -> None:
    variables = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_RUNTIME_DIR": str(tmp_path)}
    folder = locate_state_dir(tmp_path / "fleet.yaml", variables)._replace(
        runtime_path=tmp_path / "run" / "x"
    )
    folder.path.mkdir(parents=True, mode=0o755)
    folder.create()
    folder.create()
    for path in (
        folder.path,
        folder.leases_dir,
        folder.logs_dir,
        folder.runtime_path,
        folder.runtime_path.parent,
    ):
        assert path.stat().st_mode & 0o777 == 0o700, path


def test_state_dir_create_names_file_that_blocks_it(tmp_path: Path) -> None:
    (tmp_path / "argosy").write_text("")
    with pytest.raises(MissingError, match="argosy"):
        locate_state_dir(tmp_path / "fleet.yaml", {"XDG_STATE_HOME": str(tmp_path)}).create()


def test_state_dir_create_rejects_symlink(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder = locate_state_dir(tmp_path / "fleet.yaml", {"XDG_STATE_HOME": str(tmp_path)})
    folder.path.parent.mkdir()
    folder.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MissingError, match="is not a directory of user"):
        folder.create()
