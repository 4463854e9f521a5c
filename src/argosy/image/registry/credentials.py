"""Finds the credentials for a registry that `podman login` and `docker login` store in files and helpers.

A password is never an argument and never printed.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from argosy.fault import Fault, InputError

_HELPER_TIMEOUT_S = 30.0

# The user name of helper programs for an identity token in place of a password.
_TOKEN_USER: Final = "<token>"


class Credentials(msgspec.Struct, frozen=True):
    """A user and a password or token. where: the file that has them or names their helper.

    is_token: the password is an identity token, which is valid only at the registry's token service.
    """

    user: str
    password: str
    where: str
    is_token: bool = False

    @property
    def basic_header(self) -> str:
        """The value of the header `Authorization` for basic authentication."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, where={self.where!r})"


class _AuthEntry(msgspec.Struct):
    auth: str = ""
    identitytoken: str = ""


class _AuthFile(msgspec.Struct, rename="camel"):
    auths: dict[str, _AuthEntry] = {}
    cred_helpers: dict[str, str] = {}
    creds_store: str = ""


def find_credentials(names: tuple[str, ...], environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials for the first of `names` that is found; None when there are none.

    Reads only `REGISTRY_AUTH_FILE` when it is set, else podman's files, else docker's.
    Raises InputError: a file is malformed, or a helper program is missing or fails.
    """
    for path in credential_files(environ):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _credentials_error(path, error.strerror or "cannot be read") from error
        try:
            file = msgspec.json.decode(text, type=_AuthFile)
        except msgspec.MsgspecError as error:
            raise _credentials_error(path, str(error)) from error
        for name in names:
            found = _lookup(file, name, path)
            if found is not None:
                return found
    return None


def credential_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the credentials files in the order of precedence."""
    if chosen := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(chosen)
        return
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    elif os.path.isdir(own := f"/run/containers/{os.getuid()}"):  # also False without permission
        yield Path(own) / "auth.json"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def _lookup(file: _AuthFile, name: str, path: Path) -> Credentials | None:
    """Return the credentials of a file for a name; a helper for the name takes precedence over an entry."""
    helper = file.cred_helpers.get(name)
    entry = file.auths.get(name, _AuthEntry())
    if helper is None and entry.identitytoken:
        return Credentials(_TOKEN_USER, entry.identitytoken, str(path), is_token=True)
    if helper is None and entry.auth:
        return _decode(entry.auth, name, path)
    helper = helper or file.creds_store
    return _run_helper(helper, name, path) if helper else None


def _decode(encoded: str, name: str, path: Path) -> Credentials:
    try:
        user, found, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user, found, password = "", "", ""
    if not found:
        raise _credentials_error(path, f"`auths.{name}.auth` is not `user:password` in base64")
    return Credentials(user, password, str(path))


def _run_helper(helper: str, name: str, path: Path) -> Credentials | None:
    """Ask a helper program by docker's protocol; None when it has no credentials for the name."""
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        raise _credentials_error(
            path, f"the password is in `docker-credential-{helper}`, which is not on PATH"
        )
    try:
        completed = subprocess.run(
            [program, "get"],
            input=name,
            capture_output=True,
            text=True,
            check=False,
            timeout=_HELPER_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise _credentials_error(
            path, f"`{program}` did not answer within {_HELPER_TIMEOUT_S:.0f} s"
        ) from error
    if completed.returncode:
        return None
    try:
        reply: dict[str, Any] = msgspec.json.decode(completed.stdout, type=dict[str, Any])
        user, secret = str(reply["Username"]), str(reply["Secret"])
        return Credentials(user, secret, str(path), is_token=user == _TOKEN_USER)
    except (msgspec.MsgspecError, KeyError) as error:
        raise _credentials_error(path, f"the reply of `{program}` lacks `Username` or `Secret`") from error


def _credentials_error(path: Path, message: str) -> InputError:
    return InputError(Fault(str(path), "credentials-file", message, "`podman login HOST` writes a new one"))
