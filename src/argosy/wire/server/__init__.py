"""Callees: requests received, dispatched and answered.

From outside: `incoming_request`, `rpc_server`, `unix_listener`.
"""
