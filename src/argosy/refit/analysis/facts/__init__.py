"""Kinds of facts that several rules read, one kind per module (a kind that one rule reads is in its file).

To import from outside: every module; each defines its fact types and a `FactKind` constant.
"""
