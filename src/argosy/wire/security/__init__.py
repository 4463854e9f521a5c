"""CURVE keys of machines: on disk, and at sockets.

From outside: `curve_keys`, `key_management`, `zap`.
"""
