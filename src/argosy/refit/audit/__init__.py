"""The audit of a tree: the registry of rules, one run over all files, and its result.

From outside: `rule_registry`, `tree_audit`.
"""
