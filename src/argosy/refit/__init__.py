"""Audits Python trees, repairs them, and applies codemods; never imports or runs what it reads.

Outside code imports `core.tree_audit`, `core.rule`, `repair.tree_repair`, and the modules of `claims`,
`codemods`, `transaction` and `rewrite`.
"""
