"""The states of a unit, and the messages between client, supervisor, forker and zygote.

From outside: `fork_protocol`, `messages`, `state_machine`.
"""
