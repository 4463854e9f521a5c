"""One registry, spoken to through oras-py; what goes wrong there is named.

oras-py is an extra (`argosy[push]`) and imports an HTTP library: only who pushes imports this module. Two
things of it are not taken as they are. It tries again for two minutes when nobody answers; here that is told
at once, since a push that is repeated goes on where it ended. It writes a manifest anew, with another digest
than the layout's; here the layout's own bytes are sent.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from oras.auth import get_auth_backend
from oras.container import Container
from oras.provider import Registry as Provider
from requests.adapters import HTTPAdapter

from argosy.fault import Fault, MissingError, RefusedError
from argosy.image.blobs import MANIFEST_TYPE
from argosy.image.credentials import Credentials, find_credentials
from argosy.image.target import Target

_CONNECT_S: Final = 10.0
# From the last byte sent to the first of the answer: a registry hashes a large blob meanwhile.
_ANSWER_S: Final = 300.0
# Beyond this a blob is sent in pieces: a whole one is held in memory.
_PIECE_BYTES: Final = 64 * 2**20
_CREATED: Final = 201

# It tells of its attempts by itself; what matters comes with the error.
logging.getLogger("oras.logger").addHandler(logging.NullHandler())
logging.getLogger("oras.logger").propagate = False


class _Adapter(HTTPAdapter):  # type: ignore[misc]
    """Ends a request that nobody answers; oras-py waits for ever."""

    def send(self, request: Any, **words: Any) -> Any:
        words["timeout"] = (_CONNECT_S, _ANSWER_S)
        return super().send(request, **words)


class _Closed(HTTPAdapter):  # type: ignore[misc]
    """Refuses what a registry spoken to with TLS sends on to a place without: a password would go there."""

    def send(self, request: Any, **_: Any) -> Any:
        place = urlsplit(request.url).netloc
        message = f"the registry sends on to `{place}` without TLS"
        raise RefusedError(Fault(place, "registry-insecure", message, "`--http` where nobody listens"))


class _Provider(Provider):  # type: ignore[misc]
    """oras-py's provider, without its waiting; basic credentials go along with each request."""

    basic: Credentials | None = None

    def do_request(self, url: str, method: str = "GET", **words: Any) -> Any:
        if self.basic is not None and urlsplit(url).netloc == self.hostname:
            pair = base64.b64encode(f"{self.basic.user}:{self.basic.password}".encode()).decode()
            words["headers"] = {**(words.get("headers") or {}), "Authorization": f"Basic {pair}"}
        once: Callable[..., Any] = Provider.do_request.__wrapped__
        return once(self, url, method, **words)


class Registry:
    """A registry that answers, and lets one in as far as it says now.

    Raises MissingError: nobody answers. Raises RefusedError: what answers is no registry, or wants other
    credentials. Raises InputError: the files of credentials are faulty.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.credentials = find_credentials(target.known_as, os.environ)
        self._provider = _Provider(hostname=target.address, insecure=target.is_plain)
        self._provider.session.mount("https://", _Adapter())
        self._provider.session.mount("http://", _Adapter() if target.is_plain else _Closed())
        self._enter()

    def close(self) -> None:
        """Close its connections."""
        self._provider.session.close()

    def has_blob(self, repository: str, digest: str) -> bool:
        """Tell whether a repository has a blob."""
        with self._named(f"a look for {digest[:19]} in `{repository}`"):
            found: bool = self._provider.blob_exists({"digest": digest}, self._container(repository))
            return found

    def mount_blob(self, repository: str, digest: str, other: str) -> bool:
        """Have a blob of another repository there; False when the registry does not do that."""
        url = f"{self._provider.prefix}://{self._container(repository).upload_blob_url()}"
        with self._named(f"a loan of {digest[:19]} to `{repository}`"):
            answer = self._provider.do_request(f"{url}?mount={digest}&from={other}", "POST")
            return bool(answer.status_code == _CREATED)

    def send_blob(self, repository: str, path: Path, digest: str) -> None:
        """Send a blob; the registry keeps it only when its digest is right."""
        size = path.stat().st_size
        layer, container = {"digest": digest, "size": size}, self._container(repository)
        with self._named(f"blob {digest[:19]} ({size / 1e6:.1f} MB) to `{repository}`"):
            if size > _PIECE_BYTES:
                answer = self._provider.chunked_upload(str(path), container, layer, chunk_size=_PIECE_BYTES)
            else:
                answer = self._provider.put_upload(str(path), container, layer)
            self._expect(answer, _CREATED)

    def send_manifest(self, repository: str, tag: str, data: bytes, media_type: str) -> None:
        """Send a manifest to the byte; from then on the tag means it."""
        url = f"{self._provider.prefix}://{self._container(repository, tag).manifest_url()}"
        with self._named(f"the manifest to `{repository}:{tag}`"):
            answer = self._provider.do_request(url, "PUT", data=data, headers={"Content-Type": media_type})
            self._expect(answer, _CREATED)

    def digest_of_tag(self, repository: str, tag: str) -> str:
        """Return the digest of the manifest that a tag gives now, computed from its bytes."""
        url = f"{self._provider.prefix}://{self._container(repository, tag).manifest_url()}"
        with self._named(f"the manifest of `{repository}:{tag}`"):
            answer = self._provider.do_request(url, "GET", headers={"Accept": MANIFEST_TYPE})
            self._expect(answer, 200)
        return f"sha256:{hashlib.sha256(answer.content).hexdigest()}"

    def _container(self, repository: str, tag: str = "latest") -> Any:
        return Container(f"{self.target.address}/{repository}:{tag}")

    def _enter(self) -> None:
        """Ask who answers, and how it wants to be told who asks."""
        url = f"{self._provider.prefix}://{self.target.address}/v2/"
        with self._named(""):
            answer = self._provider.session.get(url, allow_redirects=False)
        asked = answer.headers.get("Www-Authenticate", "").lower()
        if answer.status_code == 401 and asked.startswith("basic"):
            if self.credentials is None:
                raise self._strange()
            self._provider.basic = self.credentials
            self._provider.auth = get_auth_backend("basic", self._provider.session, self.target.is_plain)
            self._provider.auth.set_basic_auth(self.credentials.user, self.credentials.password)
            with self._named(""):
                if self._provider.do_request(url).status_code == 401:
                    raise self._strange()
        elif answer.status_code == 401 and asked.startswith("bearer"):
            if self.credentials is not None:
                self._provider.auth.set_basic_auth(self.credentials.user, self.credentials.password)
        elif answer.status_code != 200:
            message = f"{url} answers {answer.status_code} {answer.reason}, expected the API of a registry"
            raise RefusedError(Fault(self.target.host, "no-registry", message, "look at what `--to` says"))

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Name what goes wrong. what: is under way; empty before anything is."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            hint = "its certificate must be one that this machine trusts; `--http` only where nobody listens"
            raise RefusedError(
                Fault(self.target.host, "registry-tls", f"no TLS: {_why(error)}", hint)
            ) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            if not what:
                message = (
                    f"no registry answers at {self._provider.prefix}://{self.target.address}: {_why(error)}"
                )
                hint = "start it, or look at what `--to` says"
                raise MissingError(Fault(self.target.host, "registry-down", message, hint)) from error
            message = f"the connection ended during {what}: {_why(error)}"
            hint = "run the command again: blobs that arrived are not sent again"
            raise RefusedError(Fault(self.target.host, "push-interrupted", message, hint)) from error
        except ValueError as error:  # of oras-py: nobody lets it in, or an answer without a place to send to
            if "authentication" in str(error):
                raise self._strange() from error
            raise RefusedError(
                Fault(self.target.host, "registry-refused", f"{what or 'its greeting'}: {error}", _FULL_HINT)
            ) from error

    def _expect(self, answer: Any, code: int) -> None:
        if answer.status_code in (401, 403):
            raise self._strange(_said(answer))
        if answer.status_code != code:
            message = f"it answers {answer.status_code} {answer.reason}{_said(answer)}"
            raise RefusedError(Fault(self.target.host, "registry-refused", message, _FULL_HINT))

    def _strange(self, said: str = "") -> RefusedError:
        """Return the error of who is not let in."""
        host = self.target.known_as[0]
        if self.credentials is None:
            message = f"the registry wants credentials, and there are none for `{host}`"
        else:
            found = self.credentials
            message = f"the registry does not let in `{found.user}` (from {found.where})"
        hint = f"`podman login {host}` or `docker login {host}`"
        return RefusedError(Fault(self.target.host, "registry-credentials", f"{message}{said}", hint))


_FULL_HINT: Final = "the registry's own log says more; blobs that arrived are not sent again"


def _why(error: BaseException) -> str:
    """Return the innermost reason of a request that failed, in the system's words where it has some."""
    said = str(error)
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            said = inner.strerror
        inner = inner.__cause__ or inner.__context__
    return said


def _said(answer: Any) -> str:
    """Return what a registry says of its refusal, as the distribution specification has it."""
    try:
        errors = answer.json()["errors"]
        return ": " + "; ".join(f"{item['code']} {item.get('message', '')}".strip() for item in errors)
    except (ValueError, KeyError, TypeError):
        return ""
