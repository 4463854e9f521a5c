"""Whom one trusts: the certificates that a registry's has to be from, and what is wrong with one that is not.

Trusted is what this machine trusts (`SSL_CERT_FILE`, `SSL_CERT_DIR`), what requests brings along or
`REQUESTS_CA_BUNDLE` names, and for one registry what docker and podman trust: the files `*.crt` in a folder
`certs.d/HOST[:PORT]`.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from argosy.fault import Fault, InputError

_CONNECT_TIMEOUT_S: Final = 10.0
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which `ssl` has no name.
_NO_CHECK_TIME: Final = 0x200000
# X509_V_ERR_… of OpenSSL.
_NOT_YET_VALID, _EXPIRED, _HOSTNAME_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64


class Certificate(msgspec.Struct, frozen=True):
    """What a server shows.

    subject, issuer: common names. names: hosts that it is for. since, until: epoch seconds.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: float
    not_after: float

    def __str__(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.names) or f"no host (its subject is `{self.subject}`)"
        return f"for {names}, issued by `{self.issuer}`, valid from {_format_day(self.not_before)} to {_format_day(self.not_after)}"


def tls_context(host: str, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return the context of connections to a registry.

    host: with its port, if it has one. Raises InputError: a file of certificates is none.
    """
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if (path := environ.get(name)) and not Path(path).exists():
            message = f"found `{path}`, which is not there; expected a file of certificates"
            raise InputError(Fault(name, "certificate-file", message, f"`unset {name}`"))
    context = ssl.create_default_context()
    # From Python 3.13 on set by default; refuses authorities without a key usage, as most of one's own are,
    # that docker and podman take.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for file in authority_files(host, environ):
        try:
            context.load_verify_locations(str(file))
        except (OSError, ssl.SSLError) as error:
            reason = "no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
            message = f"the certificates of `{host}`'s authority cannot be read: {reason}"
            hint = "`openssl x509 -in FILE` reads one that is good"
            raise InputError(Fault(str(file), "certificate-file", message, hint)) from error
    return context


def authority_folders(host: str, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where podman and docker look for the certificates that one registry's may be from."""
    own = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/") / ".config")
    places = (own / "containers", own / "docker", Path("/etc/containers"), Path("/etc/docker"))
    return tuple(place / "certs.d" / host for place in places)


def authority_files(host: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files of certificates for one registry."""
    for folder in authority_folders(host, environ):
        if os.path.isdir(folder):  # False, too, for who may not look
            yield from sorted(folder.glob("*.crt"))


def tls_fault(host: str, address: str, error: BaseException, environ: Mapping[str, str]) -> Fault:
    """Return what a person has to know of a connection that TLS refused.

    host: of the registry, as given. place: who answered, `HOST[:PORT]`. error: of `ssl`.
    """
    where, number = address or host, getattr(error, "verify_code", None)
    if not isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "reason", None) or str(error)
        if speaks_tls(where):
            hint = "the registry's own log says more"
            return Fault(where, "registry-tls", f"TLS was refused: {reason}", hint)
        message = f"what answers does not speak TLS ({reason})"
        return Fault(where, "registry-tls", message, "`--http`, only where nobody listens")
    found = peer_certificate(where)
    certificate_text = f": it is {found}" if found else ""
    if number in (_EXPIRED, _NOT_YET_VALID):
        state = "has expired" if number == _EXPIRED else "is not valid yet"
        hint = f"it has to be renewed there; the clock here says {_format_day(datetime.now(UTC).timestamp())}"
        return Fault(where, "registry-tls", f"the certificate {state}{certificate_text}", hint)
    if number in (_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH):
        hint = "`--to` with a name that the certificate has, or a certificate that has this one"
        return Fault(where, "registry-tls", f"the certificate is for another host{certificate_text}", hint)
    folder = authority_folders(host, environ)[0]
    hint = (
        f"if that is right, `mkdir -p {folder}` and put the authority's certificate there as `ca.crt`, "
        "or name it in `SSL_CERT_FILE`"
    )
    message = f"the certificate is from nobody trusted here ({error.verify_message}){certificate_text}"
    return Fault(where, "registry-tls", message, hint)


def speaks_tls(address: str) -> bool:
    """Return whether a TLS handshake succeeds at `HOST[:PORT]`, whatever the certificate."""
    return _fetch_raw_certificate(address) is not None


def peer_certificate(address: str) -> Certificate | None:
    """Return the certificate that is shown at `HOST[:PORT]`, unverified; None when there is none to read."""
    raw = _fetch_raw_certificate(address)
    if raw is None:
        return None
    # `ssl` reads a certificate only when it trusts it: this connection trusts it alone, and sends nothing.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(cadata=raw)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
        with _connect_tls(address, context) as channel:
            return _parse_certificate(channel.getpeercert() or {})
    except OSError:
        return None


def _fetch_raw_certificate(address: str) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connect_tls(address, context) as channel:
            return channel.getpeercert(binary_form=True)
    except OSError:
        return None


def _connect_tls(address: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    host, found, port = address.rpartition(":")
    if not found or not port.isdigit():
        host, port = address, "443"
    host = host.strip("[]")
    plain = socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_S)
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _parse_certificate(fields: dict[str, Any]) -> Certificate:
    return Certificate(
        subject=_common_name(fields.get("subject", ())),
        issuer=_common_name(fields.get("issuer", ())),
        names=tuple(value for _, value in fields.get("subjectAltName", ())),
        not_before=float(ssl.cert_time_to_seconds(fields["notBefore"])),
        not_after=float(ssl.cert_time_to_seconds(fields["notAfter"])),
    )


def _common_name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return the common name of a distinguished name, or else all that it says."""
    pairs = [pair for part in parts for pair in part]
    named = [value for key, value in pairs if key == "commonName"]
    return named[-1] if named else ", ".join(value for _, value in pairs) or "nobody"


def _format_day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
