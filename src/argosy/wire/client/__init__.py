"""Callers: connections to agents, calls and streams, blocking and asyncio; pooled REQ sockets.

From outside: `channel`, `peer`, `peer_health`, `pending_call`, `pooled_req`, `sync_peer`.
"""
