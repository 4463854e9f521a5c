"""Replication of records between the hubs of a fleet.

For use from outside: `replicator.Replicator` and `replicator.serve_batches`.
"""
