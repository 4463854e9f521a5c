"""Rules that resolve names which nothing in a parsing file binds, from what the file and its tree show.

From outside: `damaged_code`, `missing_definitions`.
"""
