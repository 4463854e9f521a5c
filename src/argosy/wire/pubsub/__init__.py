"""Topics: publishers, subscriptions here and on other machines, backlog and replay.

From outside: `remote_subscription`, `topic`.
"""
