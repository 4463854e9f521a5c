"""Transfers changed files with git over ssh: a commit of the tree is pushed to a bare repository there.

The commit is made in a separate repository (`.argosy/sync.git`, at both ends), so that the author's history
and index stay unchanged, and uncommitted files are transferred too. Files are not converted: line endings
and filters of the tree's attributes apply to its author's checkout only.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Final

from argosy.engine.deploy.ssh_target import remote_error, run_remote
from argosy.engine.deploy.tree_swap import INCOMING_DIR
from argosy.engine.state.tree_version import compute_tree_version
from argosy.fault import Fault, RefusedError
from argosy.source.git_tree import run_git

if TYPE_CHECKING:
    from pathlib import Path

    from argosy.engine.deploy.ssh_target import SshTarget
    from argosy.engine.state.tree_version import TreeVersion

_REPOSITORY: Final = ".argosy/sync.git"
_REF: Final = "refs/heads/sync"
_ATTRIBUTES: Final = "* -text -filter -ident !eol !working-tree-encoding\n"
_OPTIONS: Final = (
    *("-c", "core.autocrlf=false", "-c", "core.fileMode=true", "-c", "core.symlinks=true"),
    *("-c", "core.ignoreCase=false", "-c", "core.bare=false", "-c", "gc.autoDetach=false"),
    *("-c", "maintenance.autoDetach=false"),
)
_IDENTITY_VARIABLES: Final = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "argosy"), ("EMAIL", "argosy@localhost"), ("DATE", "@0 +0000"))
}


def transfer(root: Path, version: TreeVersion, target: SshTarget) -> None:
    """Transfer the files of the version that differ at the target to `INCOMING_DIR` there.

    Raises RefusedError: the target is unreachable or refuses, or the tree at `root` has changed.
    """
    commit = _commit(root, version, target)
    directory = shlex.quote(target.directory)
    run_remote(
        target,
        f"cd {directory} && git init -q --bare {_REPOSITORY} && cd {_REPOSITORY}"
        f" && git config receive.autogc false && mkdir -p info && cat > info/attributes",
        _ATTRIBUTES.encode(),
    )
    push_url = f"{target.host}:{target.directory}/{_REPOSITORY}"
    ssh_variables = {"GIT_SSH_COMMAND": shlex.join(target.ssh), "GIT_SSH_VARIANT": "simple"}
    _git(root, target, ("push", "--quiet", "--force", push_url, f"{commit}:{_REF}"), variables=ssh_variables)
    git = f"git {shlex.join(_OPTIONS)}"
    run_remote(
        target,
        f"cd {directory} && export LC_ALL=C GIT_DIR={_REPOSITORY} GIT_WORK_TREE=."
        f" GIT_INDEX_FILE=.argosy/incoming/index"
        f" && {git} read-tree {commit} && {{ {git} update-index -q --refresh >/dev/null || :; }}"
        f" && {git} diff-files --name-only -z > .argosy/incoming/differs"
        f" && {git} checkout-index -f -z --stdin --prefix={INCOMING_DIR}/ < .argosy/incoming/differs"
        f" && {git} gc --auto --quiet",
    )


def _commit(root: Path, version: TreeVersion, target: SshTarget) -> str:
    """Commit the current tree; return the commit's id."""
    repository = root / _REPOSITORY
    _git(root, target, ("init", "--quiet", "--bare", str(repository)), has_repository=False)
    (repository / "info").mkdir(exist_ok=True)
    (repository / "info/attributes").write_text(_ATTRIBUTES)
    (repository / "index").unlink(missing_ok=True)
    names = [
        os.fsencode(path) + b"\0"
        for path in version.files
        if os.path.islink(root / path) or os.path.isfile(root / path)
    ]
    _git(root, target, ("update-index", "--add", "-z", "--stdin"), data=b"".join(names))
    tree = _git(root, target, ("write-tree",))
    if compute_tree_version(root).tree != version.tree:
        message = f"the tree changed while it was transferred to `{target.machine}`"
        raise RefusedError(Fault(target.machine, "tree-changed", message, "run `argosy sync` again"))
    commit = _git(root, target, ("commit-tree", tree, "-m", version.tree), variables=_IDENTITY_VARIABLES)
    _git(root, target, ("update-ref", _REF, commit))
    _git(root, target, ("gc", "--auto", "--quiet"))
    return commit


def _git(
    root: Path,
    target: SshTarget,
    args: tuple[str, ...],
    *,
    data: bytes = b"",
    variables: dict[str, str] | None = None,
    has_repository: bool = True,
) -> str:
    """Run git on the separate repository; return its output. has_repository: it exists already."""
    repository = root / _REPOSITORY
    paths = (
        {"GIT_DIR": repository, "GIT_WORK_TREE": root, "GIT_INDEX_FILE": repository / "index"}
        if has_repository
        else {}
    )
    env = {name: str(path) for name, path in paths.items()} | (variables or {})
    done = run_git(root, *_OPTIONS, *args, data=data, variables=env)
    if done.returncode:
        raise remote_error(target, done.stderr)
    return done.stdout.decode(errors="replace").strip()
