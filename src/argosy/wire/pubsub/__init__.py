"""Topics: publications with sequence numbers, on one machine and across machines.

Imported from outside, by `argosy.agent` only: `topic`, `remote_subscription`.
"""
