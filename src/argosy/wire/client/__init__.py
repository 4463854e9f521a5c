"""The client side of requests: a channel to each peer, and what users call on it.

Imported from outside: `peer` (async code), `sync_peer` (threads), `peer_health`, `channel`, and `pooled_req`,
which `argosy.api` exports.
"""
