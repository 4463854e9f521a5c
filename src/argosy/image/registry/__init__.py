"""Pushes images of an OCI layout to a registry.

Import `push` and `push_target` from outside; `registry_client` needs the extra `argosy[push]`.
"""
