"""TLS of connections to a registry: the trusted certificate authorities, and the faults of certificates.

Trusted are the authorities of this machine (`SSL_CERT_FILE`, `SSL_CERT_DIR`), those of requests or of
`REQUESTS_CA_BUNDLE`, and for one registry those that docker and podman trust: the files `*.crt` in a folder
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
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL; `ssl` has no name for it.
_NO_CHECK_TIME: Final = 0x200000
# X509_V_ERR_… of OpenSSL.
_NOT_YET_VALID, _EXPIRED, _HOSTNAME_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64


class Certificate(msgspec.Struct, frozen=True):
    """The certificate of a server.

    subject, issuer: common names. names: hosts that it is valid for. not_before, not_after: epoch seconds.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: float
    not_after: float

    def __str__(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.names) or f"no host (its subject is `{self.subject}`)"
        validity = f"valid from {_format_day(self.not_before)} to {_format_day(self.not_after)}"
        return f"for {names}, issued by `{self.issuer}`, {validity}"


def tls_context(host: str, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return the context of connections to a registry.

    host: with its port, if it has one. Raises InputError: a certificate file is missing or not in PEM format.
    """
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if (path := environ.get(name)) and not Path(path).exists():
            message = f"found `{path}`, which does not exist; expected a certificate file"
            raise InputError(Fault(name, "certificate-file", message, f"`unset {name}`"))
    context = ssl.create_default_context()
    # The default since Python 3.13; it rejects authorities without a key usage extension, as private ones
    # often are, which docker and podman accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for file in authority_files(host, environ):
        try:
            context.load_verify_locations(str(file))
        except (OSError, ssl.SSLError) as error:
            reason = "not a certificate in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
            message = f"the certificates of the authority of `{host}` cannot be read: {reason}"
            hint = "`openssl x509 -in FILE` reads a valid one"
            raise InputError(Fault(str(file), "certificate-file", message, hint)) from error
    return context


def authority_folders(host: str, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders where podman and docker look for the authorities of a registry."""
    config = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/") / ".config")
    folders = (config / "containers", config / "docker", Path("/etc/containers"), Path("/etc/docker"))
    return tuple(folder / "certs.d" / host for folder in folders)


def authority_files(host: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the certificate files of the authorities of a registry."""
    for folder in authority_folders(host, environ):
        if os.path.isdir(folder):  # also False without permission
            yield from sorted(folder.glob("*.crt"))


def tls_fault(host: str, address: str, error: BaseException, environ: Mapping[str, str]) -> Fault:
    """Return the fault of a connection that failed in TLS.

    host: of the registry, as given. address: of the server that answered, `HOST[:PORT]`. error: of `ssl`.
    """
    where, number = address or host, getattr(error, "verify_code", None)
    if not isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "reason", None) or str(error)
        if speaks_tls(where):
            hint = "see the log of the registry"
            return Fault(where, "registry-tls", f"the TLS handshake failed: {reason}", hint)
        message = f"the server does not speak TLS ({reason})"
        return Fault(where, "registry-tls", message, "`--http`, only in a network that you trust")
    found = peer_certificate(where)
    certificate_text = f": it is {found}" if found else ""
    if number in (_EXPIRED, _NOT_YET_VALID):
        state = "has expired" if number == _EXPIRED else "is not valid yet"
        hint = f"renew it there; the clock of this machine says {_format_day(datetime.now(UTC).timestamp())}"
        return Fault(where, "registry-tls", f"the certificate {state}{certificate_text}", hint)
    if number in (_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH):
        hint = "use `--to` with a name of the certificate, or a certificate for this name"
        return Fault(where, "registry-tls", f"the certificate is for another host{certificate_text}", hint)
    folder = authority_folders(host, environ)[0]
    hint = (
        f"if you trust it, `mkdir -p {folder}` and put the certificate of its authority there as `ca.crt`, "
        "or name it in `SSL_CERT_FILE`"
    )
    message = f"the certificate is not trusted ({error.verify_message}){certificate_text}"
    return Fault(where, "registry-tls", message, hint)


def speaks_tls(address: str) -> bool:
    """Return whether a TLS handshake succeeds at `HOST[:PORT]`, with any certificate."""
    return _fetch_raw_certificate(address) is not None


def peer_certificate(address: str) -> Certificate | None:
    """Return the certificate of the server at `HOST[:PORT]`, unverified; None when it cannot be read."""
    raw = _fetch_raw_certificate(address)
    if raw is None:
        return None
    # `ssl` parses only trusted certificates: this connection trusts only this one, and sends no data.
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
    """Return the common name of a distinguished name, or else all its values."""
    pairs = [pair for part in parts for pair in part]
    named = [value for key, value in pairs if key == "commonName"]
    return named[-1] if named else ", ".join(value for _, value in pairs) or "unknown"


def _format_day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
