"""Which fleets run on this machine, their processes, and processes that outlived a supervisor.

From outside: `fleet_processes`, `known_fleets`, `leftover_processes`, `port_owners`, `process_cleanup`.
"""
