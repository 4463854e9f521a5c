"""Proposals for files that do not parse: patches with the evidence for each."""
