"""The control socket of a supervisor: its server, and its client.

From outside: `control_client`, `control_server`.
"""
