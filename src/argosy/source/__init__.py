"""Static analysis of Python source: parsing, scopes, imports, requirements; nothing is imported or run.

Other packages may import any module here. This package imports nothing of argosy.
"""
