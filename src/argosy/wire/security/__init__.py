"""CURVE keys and who may connect.

From outside: `curve_keys`, `key_management`, `zap`.
"""
