"""Topics: publications with sequence numbers, on one machine and across machines.

From outside: `remote_subscription`, `topic`.
"""
