"""Processes, ports, leases and limits as the kernel shows them.

For use outside of the engine: `os_process`, `fleet_processes`, `leftover_processes`, `resource_limits`.
"""
