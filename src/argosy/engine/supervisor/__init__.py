"""The supervisor process and its control protocol.

From outside: `agent_protocol`, `connect_or_start`, `entrypoint`, `hub_process`, `plan_diff`, `state_cleanup`.
"""
