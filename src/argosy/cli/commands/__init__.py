"""One module per verb of `argosy`, and what several verbs share: each parses, calls and renders."""
