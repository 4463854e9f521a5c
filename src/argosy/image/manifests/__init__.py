"""Writes manifests of a fleet's containers: compose files, Kubernetes manifests and Containerfiles.

From outside: `compose_file`, `containerfile`, `kubernetes`, `manifest_validation`.
"""
