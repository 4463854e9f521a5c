"""Processes, ports, leases and limits as the kernel shows them.

From outside: `cgroup`, `cooperative_yield`, `descriptors`, `env_file`, `helper_process`, `lease`,
`os_process`, `pidfd_process`, `prctl`, `resource_limits`, `tcp_ports`, `timers`.
"""
