"""The scenario: migrates a tree of legacy agents by argosy and starts all of them at once."""
