"""Agents as the supervisor sees them: plan, state machine, restart policy, probes and health.

From outside: `context`, `dependency_state`, `heartbeat`, `http_get`, `legacy_probe`, `managed_process`,
`notify_batcher`, `probe`, `startup_fault_search`, `unit`.
"""
