"""The rewrites of `argosy refit`: one package per family of codes, applied as `file_pipeline` orders them.

To import from outside: `tree_pipeline` (a whole tree), `file_pipeline` (one file), `missing_requirement`. The
rules are the modules `*_rule` of the packages; `argosy.refit.audit.rule_registry` finds them.
"""
