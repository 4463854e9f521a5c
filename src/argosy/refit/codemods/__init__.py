"""Applies the codemods of the rules: to one file with its checks, and to a tree as one run.

From outside: `file_pipeline`, `missing_requirement`, `tree_pipeline`.
"""
