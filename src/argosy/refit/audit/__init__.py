"""The audit of a tree: one run of the rules over all files, and its result.

From outside: `tree_audit`.
"""
