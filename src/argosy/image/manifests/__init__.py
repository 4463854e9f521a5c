"""Writes manifests of a fleet's containers: compose files, Kubernetes manifests and Containerfiles.

Import `compose_file`, `kubernetes`, `containerfile` and `manifest_validation` from outside.
"""
