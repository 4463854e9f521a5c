"""Where the engine keeps a fleet's state, and where its sockets are.

State (leases, wills, logs, diary) lives in `$XDG_STATE_HOME/argosy/`, one folder per fleet file.
Sockets live in a runtime folder of their own: their paths must stay below the 107 bytes of
`sun_path`, and a log-out may delete them, which a lease must survive.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.fault import Fault, MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Longer agent names are shortened in socket paths, with a digest to keep them apart.
_LONGEST_STEM = 40
# What is left of the 107 bytes after `/argosy/DIGEST/notify/STEM.sock`.
_LONGEST_BASE = 107 - len("/argosy//notify/.sock") - 12 - _LONGEST_STEM


class Folder(NamedTuple):
    """The two folders of one fleet on this machine, and the names inside them."""

    state: Path
    runtime: Path

    @property
    def lock(self) -> Path:
        """The lock of the supervisor; its content is the generation."""
        return _path(self.state, "supervisor.lock")

    @property
    def spawn_lock(self) -> Path:
        """Held by the client that starts a supervisor."""
        return _path(self.state, "spawn.lock")

    @property
    def diary(self) -> Path:
        """What happened, a line an event."""
        return _path(self.state, "diary")

    @property
    def applied(self) -> Path:
        """The fleet as it was applied last."""
        return _path(self.state, "applied.json")

    @property
    def imprint(self) -> Path:
        """What the tree's sources were when agents started."""
        return _path(self.state, "imprint.json")

    @property
    def appetite(self) -> Path:
        """How much memory each agent needed last time."""
        return _path(self.state, "appetite.json")

    @property
    def book(self) -> Path:
        """The addresses of the fleet, for its agents."""
        return _path(self.state, "book.json")

    @property
    def wills(self) -> Path:
        """What only the supervisor knows of each agent."""
        return _path(self.state, "wills")

    @property
    def forkers(self) -> Path:
        """The forkers of the supervisor that rules, or ruled last."""
        return self.state / "forkers.json"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor itself prints."""
        return _path(self.state, "supervisor.log")

    @property
    def hub_lock(self) -> Path:
        """Held by the hub that runs; its content says which."""
        return _path(self.state, "hub.lock")

    @property
    def hub_log(self) -> Path:
        """What the hub prints."""
        return _path(self.state, "hub.log")

    @property
    def hub_token(self) -> Path:
        """The word that actions on the hub's page need; its owner's alone to read."""
        return _path(self.state, "hub.token")

    @property
    def hub_store(self) -> Path:
        """The records of this machine's hub."""
        return _path(self.state, "hub.db")

    @property
    def leases(self) -> Path:
        """The folder of the leases."""
        return _path(self.state, "lease")

    @property
    def logs(self) -> Path:
        """The folder of the agents' output."""
        return _path(self.state, "log")

    @property
    def control(self) -> Path:
        """The socket that clients connect to."""
        return _path(self.runtime, "control.sock")

    def lease(self, agent: str) -> Path:
        """The lease file of one agent."""
        return _path(self.leases, agent)

    def will(self, agent: str) -> Path:
        """What only the supervisor knows of one agent, as earlier versions kept it."""
        return _path(_path(self.state, "will"), agent)

    def roll(self, cell: str) -> Path:
        """The agents that the process of one cell may carry; beside its sockets, as the process outlives a
        state folder that somebody deletes."""
        return _path(_path(self.runtime, "cell"), cell)

    def calls(self, cell: str) -> Path:
        """The socket by which one cell is told who shall live."""
        return self.runtime / "notify" / f"{short_stem(f'calls:{cell}')}.sock"

    def log(self, agent: str) -> Path:
        """The output of one agent."""
        return _path(self.logs, f"{agent}.log")

    def notify(self, agent: str) -> Path:
        """The sd_notify socket of one agent."""
        return _path(_path(self.runtime, "notify"), f"{short_stem(agent)}.sock")

    def make(self) -> None:
        """Create both folders, readable by their owner alone.

        Raises MissingError: a folder cannot be made.
        """
        for path in (self.state, self.leases, self.logs):
            _make_private(path)
        inner = (self.runtime / name for name in ("notify", "z", "cell"))
        for path in (self.runtime.parent, self.runtime, *inner):
            _make_private(path)


@functools.lru_cache(4096)
def _path(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder; asked for the same ones again and again."""
    return folder / name


def folder_of(fleet_path: str | Path, variables: Mapping[str, str] | None = None) -> Folder:
    """Return the folders of the fleet file at `fleet_path`; creates nothing.

    The state folder is named for the file's folder and a digest of its real path, so that two
    checkouts of one fleet never share state.
    """
    variables = os.environ if variables is None else variables
    path = Path(fleet_path).resolve()
    stem = path.parent.name or "fleet"
    return folder_of_state(state_home(variables) / f"{stem}-{_digest(str(path))[:10]}", variables)


def folder_of_state(state: Path, variables: Mapping[str, str] | None = None) -> Folder:
    """Return both folders of the fleet whose state folder is `state`."""
    variables = os.environ if variables is None else variables
    return Folder(state, runtime_base(variables) / _digest(str(state))[:12])


def own_folders(place: Path) -> list[Path]:
    """Return the folders in `place` that are this user's, links aside; none where it may not be looked at."""
    try:
        with os.scandir(place) as entries:
            found = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    me = os.getuid()
    return sorted(Path(each.path) for each in found if each.stat(follow_symlinks=False).st_uid == me)


def state_home(variables: Mapping[str, str]) -> Path:
    """Return the folder of the state folders: `$XDG_STATE_HOME/argosy`."""
    home = variables.get("XDG_STATE_HOME") or str(Path(variables.get("HOME") or Path.home(), ".local/state"))
    return Path(home, "argosy")


def runtime_base(variables: Mapping[str, str]) -> Path:
    """Return the folder under which the runtime folders are made: `$XDG_RUNTIME_DIR/argosy`.

    One that is missing, of another user, or too long for the path of a socket gives way to /tmp.
    """
    given = variables.get("XDG_RUNTIME_DIR")
    is_short = given and len(os.fsencode(given)) <= _LONGEST_BASE
    if given and is_short and os.path.isdir(given) and os.stat(given).st_uid == os.getuid():
        return Path(given, "argosy")
    return _fallback_base()


def runtime_bases(variables: Mapping[str, str]) -> list[Path]:
    """Return every folder under which runtime folders of this user may have been made."""
    return list(dict.fromkeys([runtime_base(variables), _fallback_base()]))


def _fallback_base() -> Path:
    return Path(f"/tmp/argosy-{os.getuid()}")


def short_stem(agent: str) -> str:
    """Return a file stem for `agent` that is short enough for a socket path."""
    if len(agent) <= _LONGEST_STEM:
        return agent
    return f"{agent[: _LONGEST_STEM - 9]}-{_digest(agent)[:8]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _make_private(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = os.stat(path, follow_symlinks=False)
    except OSError as error:
        raise MissingError(
            Fault(
                str(path),
                "no-folder",
                f"the folder `{path}` cannot be made: {error.strerror}",
                "set XDG_STATE_HOME and XDG_RUNTIME_DIR to folders that you may write",
            )
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise MissingError(
            Fault(
                str(path),
                "foreign-folder",
                f"`{path}` is not a folder of user {os.getuid()}",
                "remove it, or set XDG_RUNTIME_DIR to a folder of your own",
            )
        )
    if found.st_mode & 0o077:
        path.chmod(0o700)
