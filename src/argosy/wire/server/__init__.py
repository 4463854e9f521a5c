"""The server side of requests: an agent's sockets, its clients and their requests and replies.

Imported from outside, by `argosy.agent` only: `rpc_server`, `incoming_request`.
"""
