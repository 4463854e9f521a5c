"""Literal addresses: which texts are one, and where in code they stand; for rules and rewrites alike."""
