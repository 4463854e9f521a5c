"""Repairs of files that do not parse or cannot start: patches, each with its evidence.

Outside code imports `tree_repair` and `proposal`.
"""
