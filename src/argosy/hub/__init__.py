"""The observability hub of a machine: collects, stores, replicates and serves what its agents report.

Packages: `ingest`, `store`, `replication`, `alerts`, `http` (and the web page's files in `page`).

From outside: `http`, `store`.
"""
