"""The scenario: a tree of old agents as it is, made over by argosy, and brought up, all at once."""
