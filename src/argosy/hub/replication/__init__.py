"""Replication of records between the hubs of a fleet.

From outside: `replicator`.
"""
