"""Where images are pushed to: a registry's host, and what its repositories' names begin with."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from argosy.fault import Fault, InputError

_HOST: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")
# The names of repositories by the distribution specification.
_PATH_COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class PushTarget(msgspec.Struct, frozen=True):
    """A registry. host: as given; address: host and port that answer. prefix: of repositories, may be empty.

    is_plain: without TLS. is_here: it is this machine itself; TLS is then left out unless it wants that.
    """

    host: str
    address: str
    prefix: str
    is_plain: bool
    is_loopback: bool

    @property
    def credential_names(self) -> tuple[str, ...]:
        """The names under which files of credentials have it, the narrowest first.

        podman's may be for a part of a registry; docker's older ones are addresses.
        """
        parts = self.prefix.split("/") if self.prefix else []
        scoped_names = ("/".join((self.host, *parts[:count])) for count in range(len(parts), 0, -1))
        return (*scoped_names, self.host, f"https://{self.host}", f"https://{self.host}/v1/")

    def repository_of(self, reference: str) -> str:
        """Return the name of an image's repository there."""
        return f"{self.prefix}/{reference}" if self.prefix else reference


def parse_target(text: str, is_plain: bool = False) -> PushTarget:
    """Read `HOST[:PORT][/PREFIX]`. is_plain: speak without TLS; on this machine itself that is always so.

    Raises InputError: it is none.
    """
    host, _, prefix = text.partition("/")
    found = _HOST.fullmatch(host)
    name = found[1].strip("[]") if found else ""
    is_host = found is not None and ("." in host or ":" in host or name == "localhost")
    if not is_host or (prefix and not _REPOSITORY.fullmatch(prefix)):
        message = f"found `{text}`, expected HOST[:PORT][/PREFIX], such as `registry.example:5000/team`"
        hint = "no scheme; a prefix has lower case, digits, and `.`, `_`, `-` between them"
        raise InputError(Fault("--to", "registry-name", message, hint))
    address = "localhost:80" if host == "localhost" else host
    is_loopback = _is_loopback(name)
    return PushTarget(host, address, prefix, is_plain or is_loopback, is_loopback)


def check_tag(tag: str) -> None:
    """Raise InputError: this is no tag."""
    if not _TAG.fullmatch(tag):
        message = f"found `{tag}`, expected letters, digits, `_`, `.`, `-`, at most 128, not `.` or `-` first"
        raise InputError(Fault("--tag", "tag", message))


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
