"""Finds what is wrong in a Python tree, and changes only what is proven; never imports or runs what it reads.

`argosy.refit.core.tree_audit.audit` reads a tree and asks the rules; those are in `argosy.refit.rules`, one a file, and
its docstring says how one is written.
"""
