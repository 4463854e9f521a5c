"""Kinds of facts that several rules read, one a module; a kind that one rule reads stands in its file."""
