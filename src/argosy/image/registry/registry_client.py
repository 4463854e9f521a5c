"""A client of one registry, based on oras-py; errors become faults.

oras-py is an extra (`argosy[push]`) and imports an HTTP library, so only a push imports this module. It
differs from oras-py in three ways. oras-py retries for two minutes when no server answers; here that is an
error at once, since a repeated push continues where it ended. oras-py keeps its first token, which may read
one repository only; here each challenge is answered, see `registry_auth`. oras-py rewrites manifests, which
changes their digests; here the bytes of the layout are sent.
"""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from oras.container import Container
from oras.provider import Registry as Provider
from requests.adapters import HTTPAdapter

from argosy.fault import Fault, MissingError, RefusedError
from argosy.image.content.blob_store import MANIFEST_TYPE
from argosy.image.registry.credentials import find_credentials
from argosy.image.registry.push_target import PushTarget
from argosy.image.registry.registry_auth import RegistryAuth
from argosy.image.registry.tls import speaks_tls, tls_context, tls_fault

_CONNECT_TIMEOUT_S: Final = 10.0
# From the last byte sent to the first byte of the response; the registry hashes large blobs meanwhile.
_READ_TIMEOUT_S: Final = 300.0
# A larger blob is sent in chunks: a blob that is sent in one request is held in memory.
_CHUNK_BYTES: Final = 64 * 2**20
_CREATED, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 201, 401, 403, 404

# oras-py logs its attempts; the errors raised here have the details.
logging.getLogger("oras.logger").addHandler(logging.NullHandler())
logging.getLogger("oras.logger").propagate = False


class _TimeoutAdapter(HTTPAdapter):  # type: ignore[misc]
    """Sets time-outs, which oras-py does not. context: of TLS connections."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)

    def send(self, request: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = (_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)
        return super().send(request, **kwargs)


class _PlainHttpBlocker(HTTPAdapter):  # type: ignore[misc]
    """Rejects redirects from a registry with TLS to a host without: a password could be sent there."""

    def send(self, request: Any, **_: Any) -> Any:
        host = urlsplit(request.url).netloc
        message = f"the registry redirects to `{host}` without TLS"
        hint = "`--http`, only in a network that you trust"
        raise RefusedError(Fault(host, "registry-insecure", message, hint))


class _ResponseError(Exception):
    """The registry sent an unexpected response."""

    def __init__(self, response: Any) -> None:
        super().__init__(f"{response.status_code} {response.reason}")
        self.response = response


class _OrasProvider(Provider):  # type: ignore[misc]
    """The provider of oras-py, without its retries and its tokens."""

    def configure(self, context: ssl.SSLContext, authorization: RegistryAuth) -> None:
        """Set the TLS context and the authorization of all requests."""
        self.authorization = authorization
        self.session.auth = lambda request: request  # otherwise a `.netrc` would replace the token
        self.session.mount("https://", _TimeoutAdapter(context))
        self.session.mount(
            "http://", _TimeoutAdapter(context) if self.prefix == "http" else _PlainHttpBlocker()
        )

    def do_request(self, url: str, method: str = "GET", **kwargs: Any) -> Any:
        """Send a request, and send it again after answering a challenge.

        Raises _ResponseError: the status of the response is an error.
        """
        own_headers = kwargs.pop("headers", None) or {}
        authorization = self.authorization
        response = self.session.request(
            method, url, headers={**own_headers, **authorization.headers_for(url)}, **kwargs
        )
        challenge = response.headers.get("Www-Authenticate", "")
        is_challenged = response.status_code == _UNAUTHORIZED and authorization.is_registry(url)
        if is_challenged and authorization.answer_challenge(challenge):
            response = self.session.request(
                method, url, headers={**own_headers, **authorization.headers_for(url)}, **kwargs
            )
        if response.status_code >= 400 and (method, response.status_code) != ("HEAD", _NOT_FOUND):
            raise _ResponseError(response)
        return response


class OrasRegistry:
    """A connected registry.

    Raises MissingError: no server answers. Raises RefusedError: the server is not a registry, or rejects the
    credentials. Raises InputError: a credentials file or a certificate file is faulty.
    """

    def __init__(self, target: PushTarget) -> None:
        self.target = target
        self.credentials = find_credentials(target.credential_names, os.environ)
        self._open_session(is_plain=target.is_plain)
        self._connect()

    def close(self) -> None:
        """Close the connections."""
        self._provider.session.close()

    def _open_session(self, *, is_plain: bool) -> None:
        self._provider = _OrasProvider(hostname=self.target.address, insecure=is_plain)
        self._url = f"{self._provider.prefix}://{self.target.address}"
        authorization = RegistryAuth(self._provider.session, self._url, self.credentials)
        self._provider.configure(tls_context(self.target.host, os.environ), authorization)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Return whether a repository has a blob."""
        with self._errors_named(f"the lookup of {digest[:19]} in `{repository}`"):
            found: bool = self._provider.blob_exists({"digest": digest}, self._container(repository))
            return found

    def mount_blob(self, repository: str, digest: str, source_repository: str) -> bool:
        """Mount a blob from another repository; return False when the registry does not mount it."""
        url = f"{self._provider.prefix}://{self._container(repository).upload_blob_url()}"
        with self._errors_named(f"the mount of {digest[:19]} in `{repository}`"):
            try:
                response = self._provider.do_request(f"{url}?mount={digest}&from={source_repository}", "POST")
            except _ResponseError:  # for example no permission there: the blob is sent instead
                return False
            return bool(response.status_code == _CREATED)

    def send_blob(self, repository: str, path: Path, digest: str) -> None:
        """Send a blob; the registry keeps it only when its digest matches."""
        size = path.stat().st_size
        layer, container = {"digest": digest, "size": size}, self._container(repository)
        with self._errors_named(f"blob {digest[:19]} ({size / 1e6:.1f} MB) to `{repository}`"):
            if size > _CHUNK_BYTES:
                response = self._provider.chunked_upload(str(path), container, layer, chunk_size=_CHUNK_BYTES)
            else:
                response = self._provider.put_upload(str(path), container, layer)
            self._expect_status(response, _CREATED)

    def send_manifest(self, repository: str, tag: str, data: bytes, media_type: str) -> None:
        """Send the bytes of a manifest; the tag then refers to it."""
        url = f"{self._provider.prefix}://{self._container(repository, tag).manifest_url()}"
        with self._errors_named(f"the manifest to `{repository}:{tag}`"):
            response = self._provider.do_request(url, "PUT", data=data, headers={"Content-Type": media_type})
            self._expect_status(response, _CREATED)

    def digest_of_tag(self, repository: str, tag: str) -> str:
        """Return the digest of the manifest that a tag refers to, computed from its bytes."""
        url = f"{self._provider.prefix}://{self._container(repository, tag).manifest_url()}"
        with self._errors_named(f"the manifest of `{repository}:{tag}`"):
            response = self._provider.do_request(url, "GET", headers={"Accept": MANIFEST_TYPE})
            self._expect_status(response, 200)
        return f"sha256:{hashlib.sha256(response.content).hexdigest()}"

    def _container(self, repository: str, tag: str = "latest") -> Any:
        return Container(f"{self.target.address}/{repository}:{tag}")

    def _connect(self) -> None:
        """Check that the server is a registry, and answer its challenge for basic authentication."""
        with self._errors_named(""):
            response = self._request_api_root()
            challenge = response.headers.get("Www-Authenticate", "")
            if response.status_code == _UNAUTHORIZED and challenge.lower().startswith("basic"):
                if not self._provider.authorization.answer_challenge(challenge):
                    raise self._credentials_error()
                self._provider.do_request(f"{self._url}/v2/")
            elif response.status_code not in (200, _UNAUTHORIZED):
                status = f"{response.status_code} {response.reason}"
                message = f"{self._url}/v2/ answers {status}, expected the API of a registry"
                raise RefusedError(
                    Fault(self.target.host, "no-registry", message, "check the value of `--to`")
                )

    def _request_api_root(self) -> Any:
        """Return the first response; a registry on this machine that requires TLS is asked again with TLS."""
        try:
            response = self._provider.session.get(f"{self._url}/v2/", allow_redirects=False)
            is_rejected = response.status_code == 400
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout):
            if not self._may_require_tls():
                raise
            is_rejected = True
        if is_rejected and self._may_require_tls():
            self.close()
            self._open_session(is_plain=False)
            response = self._provider.session.get(f"{self._url}/v2/", allow_redirects=False)
        return response

    def _may_require_tls(self) -> bool:
        return self.target.is_loopback and self._provider.prefix == "http" and speaks_tls(self.target.address)

    @contextmanager
    def _errors_named(self, operation: str) -> Iterator[None]:
        """Convert errors in the block to faults. operation: the current one, empty while connecting."""
        host = self.target.host
        try:
            yield
        except requests.exceptions.SSLError as error:
            address = urlsplit(error.request.url).netloc if error.request is not None else host
            *_, cause = (each for each in _cause_chain(error) if isinstance(each, OSError))
            raise RefusedError(tls_fault(host, address, cause, os.environ)) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            if not operation:
                message = f"no registry answers at {self._url}: {_root_reason(error)}"
                hint = "start it, or check the value of `--to`"
                raise MissingError(Fault(host, "registry-unreachable", message, hint)) from error
            message = f"the connection ended during {operation}: {_root_reason(error)}"
            hint = "run the command again: blobs that arrived are not sent again"
            raise RefusedError(Fault(host, "push-interrupted", message, hint)) from error
        except _ResponseError as error:
            raise self._response_error(operation, error.response) from error
        except ValueError as error:  # of oras-py, for example a response without an upload location
            message = f"{operation or 'the first request'}: {error}"
            raise RefusedError(Fault(host, "registry-refused", message, _LOG_HINT)) from error

    def _expect_status(self, response: Any, code: int) -> None:
        if response.status_code != code:
            raise _ResponseError(response)

    def _response_error(self, operation: str, response: Any) -> RefusedError:
        """Return the error of a response: missing or rejected credentials, no permission, or another one."""
        code = response.status_code
        is_known = code == _FORBIDDEN or self._provider.authorization.has_token
        if code == _UNAUTHORIZED and not is_known:
            return self._credentials_error(_error_detail(response))
        host = self.target.host
        if code in (_UNAUTHORIZED, _FORBIDDEN) and self.credentials is not None:
            found = self.credentials
            detail = _error_detail(response)
            message = f"`{found.user}` (from {found.where}) has no permission for {operation}{detail}"
            hint = "ask an administrator of the registry for permission to push there"
            return RefusedError(Fault(host, "registry-forbidden", message, hint))
        if code in (_UNAUTHORIZED, _FORBIDDEN):
            return self._credentials_error(_error_detail(response))
        answer = f"the registry answers {code} {response.reason}{_error_detail(response)}"
        message = f"{operation or 'the first request'}: {answer}"
        return RefusedError(Fault(host, "registry-refused", message, _LOG_HINT))

    def _credentials_error(self, detail: str = "") -> RefusedError:
        """Return the error of missing or rejected credentials."""
        host = self.target.host
        if self.credentials is None:
            message = f"the registry requires credentials, and there are none for `{host}`"
        else:
            found = self.credentials
            message = f"the registry rejects the credentials of `{found.user}` (from {found.where})"
        hint = f"`podman login {host}` or `docker login {host}`"
        return RefusedError(Fault(host, "registry-credentials", f"{message}{detail}", hint))


_LOG_HINT: Final = "see the log of the registry; blobs that arrived are not sent again"


def _cause_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, the root cause last."""
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        inner = inner.__cause__ or inner.__context__


def _root_reason(error: BaseException) -> str:
    """Return the root cause of a failed request, as the system's error message if there is one."""
    reasons = [each.strerror for each in _cause_chain(error) if isinstance(each, OSError) and each.strerror]
    return reasons[-1] if reasons else str(error)


def _error_detail(response: Any) -> str:
    """Return the errors in a response, in the format of the OCI distribution specification."""
    try:
        errors = response.json()["errors"]
        return ": " + "; ".join(f"{item['code']} {item.get('message', '')}".strip() for item in errors)
    except (ValueError, KeyError, TypeError):
        return ""
