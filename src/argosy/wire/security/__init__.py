"""CURVE keys of machines: on disk, and at sockets.

Imported from outside: `curve_keys`, `key_management` (by `argosy keys`), `zap` (by `argosy.agent`).
"""
