"""Resolves names that nothing in a parsing file binds, from what the file and its tree show.

From outside: `module_view`, `name_fixpoint`, `project_names`.
"""
