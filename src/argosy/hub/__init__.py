"""The observability hub of a machine: collects, stores, replicates and serves what its agents report.

Packages: `ingest`, `store`, `replication`, `alerts`, `http` (and the web page's files in `page`).
For use from outside: `hub_agent`, `http.http_server`, `http.token`, `http.grafana`, `store.store_reader`.
"""
