"""An authority for certificates in a temp folder, by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from rig.needs import require

_CONFIGURATION = """
[ca]
default_ca = own
[own]
new_certs_dir = .
database = index
serial = serial
default_md = sha256
policy = any
[any]
commonName = optional
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class ServerCertificate(NamedTuple):
    """What a server shows, and the key that it proves it with."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates. certificate: its own, which signs itself and may be shown on this machine."""

    def __init__(self, folder: Path, name: str = "Yard CA") -> None:
        require("openssl")
        self.folder = folder
        folder.mkdir()
        self.certificate, self.key = folder / "ca.crt", folder / "ca.key"
        made = ("-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", f"/CN={name}", "-days", "2")
        made += ("-addext", "subjectAltName=IP:127.0.0.1")
        self._openssl("req", *_KEY, *made)
        (folder / "ca.cnf").write_text(_CONFIGURATION)
        (folder / "index").touch()
        (folder / "serial").write_text("01")

    def sign(self, name: str, *, since: str = "200101", until: str = "491231") -> ServerCertificate:
        """Return a certificate for `DNS:NAME` or `IP:ADDRESS`. since, until: days as `YYMMDD`."""
        stem = f"{len(list(self.folder.iterdir()))}"
        request = ("-keyout", f"{stem}.key", "-out", f"{stem}.csr", "-subj", "/CN=yard")
        self._openssl("req", *_KEY, *request)
        (self.folder / f"{stem}.ext").write_text(f"subjectAltName={name}\n")
        signed = ("-in", f"{stem}.csr", "-out", f"{stem}.crt", "-extfile", f"{stem}.ext")
        days = ("-startdate", f"{since}000000Z", "-enddate", f"{until}000000Z")
        own = ("-config", "ca.cnf", "-cert", "ca.crt", "-keyfile", "ca.key")
        self._openssl("ca", "-batch", "-notext", *own, *signed, *days)
        return ServerCertificate(self.folder / f"{stem}.crt", self.folder / f"{stem}.key")

    def signature(self, data: bytes) -> bytes:
        """Return its signature of some bytes, as ES256 has them: two numbers of 32 bytes."""
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        coded = subprocess.run(command, input=data, capture_output=True, check=True).stdout
        length = coded[3]  # DER: a sequence of two integers, all shorter than 128 bytes
        numbers = (coded[4 : 4 + length], coded[6 + length :])
        return b"".join(int.from_bytes(each, "big").to_bytes(32, "big") for each in numbers)

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, check=True)
