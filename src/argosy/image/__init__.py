"""Containers from a fleet file: plan images, build them, push them, and write manifests that run them.

Import the modules of `plan`, `build`, `registry` and `manifests`; `runtime` is what runs inside a container.

From outside: `build`, `lock`, `manifests`, `plan`, `registry`.
"""
