"""The engine: plans, starts, supervises, adopts and explains the processes of a fleet.

`supervisor` is the process that holds a machine's agents, `forker` the small interpreter that
forks them, `client` what the verbs use to talk to it. See docs/engine.md for the protocol.
"""
