"""Former names of pooled requests, for code that an earlier refit wrote; new code imports `argosy.api`."""

from __future__ import annotations

from argosy.wire.client.pooled_req import req_socket as question
from argosy.wire.client.pooled_req import send_json_request as ask_json
from argosy.wire.client.pooled_req import send_request as ask

__all__ = ["ask", "ask_json", "question"]
