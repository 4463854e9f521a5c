"""Finds what is wrong in a Python tree, and changes only what is proven."""
