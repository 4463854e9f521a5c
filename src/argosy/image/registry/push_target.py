"""The target of a push: the host of a registry and a prefix of repository names."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from argosy.fault import Fault, InputError

_HOST: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")
# Repository names by the OCI distribution specification.
_PATH_COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class PushTarget(msgspec.Struct, frozen=True):
    """A registry. host: as given; address: host and port to connect to. prefix: of repositories or empty.

    is_plain: without TLS. is_loopback: on this machine, where TLS is used only if the registry requires it.
    """

    host: str
    address: str
    prefix: str
    is_plain: bool
    is_loopback: bool

    @property
    def credential_names(self) -> tuple[str, ...]:
        """The keys of this registry in credentials files, the most specific first.

        podman has keys for repository prefixes; old docker files have URLs.
        """
        parts = self.prefix.split("/") if self.prefix else []
        scoped_names = ("/".join((self.host, *parts[:count])) for count in range(len(parts), 0, -1))
        return (*scoped_names, self.host, f"https://{self.host}", f"https://{self.host}/v1/")

    def repository_of(self, reference: str) -> str:
        """Return the name of an image's repository in the registry."""
        return f"{self.prefix}/{reference}" if self.prefix else reference


def parse_target(text: str, is_plain: bool = False) -> PushTarget:
    """Parse `HOST[:PORT][/PREFIX]`. is_plain: connect without TLS; always so for this machine.

    Raises InputError: `text` does not have this form.
    """
    host, _, prefix = text.partition("/")
    found = _HOST.fullmatch(host)
    name = found[1].strip("[]") if found else ""
    is_host = found is not None and ("." in host or ":" in host or name == "localhost")
    if not is_host or (prefix and not _REPOSITORY.fullmatch(prefix)):
        message = f"found `{text}`, expected HOST[:PORT][/PREFIX], such as `registry.example:5000/team`"
        hint = "no scheme; a prefix has lower-case letters, digits, and `.`, `_`, `-` between them"
        raise InputError(Fault("--to", "registry-name", message, hint))
    address = "localhost:80" if host == "localhost" else host
    is_loopback = _is_loopback(name)
    return PushTarget(host, address, prefix, is_plain or is_loopback, is_loopback)


def check_tag(tag: str) -> None:
    """Raise InputError: `tag` is not a valid tag."""
    if not _TAG.fullmatch(tag):
        message = f"found `{tag}`, expected at most 128 letters, digits, `_`, `.`, `-`, not `.` or `-` first"
        raise InputError(Fault("--tag", "tag", message))


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
