"""Connections between the supervisors of a fleet's machines.

Import from outside: `peering_plan`, `peer_set`, `federation`, `remote_agent`, `peer_unreachable`,
`relayed_command`, and `ray_cluster` for fleets on Ray. ZeroMQ is loaded by `peer_connection` and
`peer_server` only.
"""
