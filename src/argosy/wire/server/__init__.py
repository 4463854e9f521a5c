"""The server side of requests: an agent's sockets, its clients and their requests and replies.

From outside: `agent_status`, `incoming_request`, `rpc_server`, `unix_listener`.
"""
