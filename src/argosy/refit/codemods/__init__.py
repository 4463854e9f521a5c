"""The rewrites of `argosy refit`: one package per family of codes, applied as `file_pipeline` orders them.

The rules are the modules `*_rule` of the packages; `argosy.refit.audit.rule_registry` finds them.

From outside: `b501`, `file_pipeline`, `missing_requirement`, `tree_pipeline`.
"""
