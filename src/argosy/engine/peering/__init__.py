"""Connections between the supervisors of a fleet's machines.

ZeroMQ is loaded by `peer_connection` and `peer_server` only.

From outside: `federation`, `peer_connection`, `peer_set`, `remote_agent`.
"""
