"""Pushes images of an OCI layout to a registry.

From outside: `push`, `push_target`.
"""
