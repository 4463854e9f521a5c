"""Repairs of files that do not parse or cannot start: patches, each with its evidence.

From outside: `proposal`, `tree_repair`.
"""
