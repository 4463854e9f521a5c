"""Agents as the supervisor sees them: plan, state machine, restart policy, probes and health.

From outside: `dependency_state`, `heartbeat`, `http_get`, `legacy_probe`, `notify_socket`, `probe`,
`process_backend`, `services`, `startup_fault_search`, `unit`.
"""
