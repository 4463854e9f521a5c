"""Who one is at a registry, as `podman login` and `docker login` leave it: in a file, or with a helper.

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


# What a helper program calls a user who has a token for tokens in place of a password.
_TOKEN_USER: Final = "<token>"


class Credentials(msgspec.Struct, frozen=True):
    """A user and a password, or what stands for one. where: the file that has them or names their keeper.

    is_token: the password is a token that the registry's token service gives others for, and nothing else.
    """

    user: str
    password: str
    where: str
    is_token: bool = False

    @property
    def basic_header(self) -> str:
        """The value of `Authorization` that has them."""
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
    """Return what is known for a registry, under the first of its names; None for a stranger.

    Read are `REGISTRY_AUTH_FILE` alone where it is set, else podman's files, else docker's.
    Raises InputError: a file is none of that kind, or a helper program is not there or fails.
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
    """Yield the files to read, in this order."""
    if chosen := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(chosen)
        return
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    elif os.path.isdir(own := f"/run/containers/{os.getuid()}"):  # False, too, for who may not look
        yield Path(own) / "auth.json"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def _lookup(file: _AuthFile, name: str, path: Path) -> Credentials | None:
    """Return what a file has for a name; a helper for that one name goes before what is written."""
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
    """Ask a helper program by the protocol of docker's; None when it knows nothing of that name."""
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        raise _credentials_error(path, f"`docker-credential-{helper}` keeps the password, and is not on PATH")
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
        raise _credentials_error(path, f"`{program}` answers without `Username` and `Secret`") from error


def _credentials_error(path: Path, message: str) -> InputError:
    return InputError(Fault(str(path), "credentials-file", message, "`podman login HOST` writes it anew"))
