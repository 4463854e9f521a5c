"""The client side of requests: a channel to each peer, and what users call on it.

From outside: `channel`, `peer`, `peer_health`, `pending_call`, `pooled_req`, `sync_peer`.
"""
