"""The control socket of a supervisor: its server, its client, and whether it responds.

From outside: `control_client`, `control_server`, `responsiveness`.
"""
