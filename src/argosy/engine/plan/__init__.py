"""What a supervisor is to run: the plan of all processes, cells and peers, and the plan that it ran last.

From outside: `agent_sources`, `applied_plan`, `cell_plan`, `peering_plan`, `process_plan`.
"""
