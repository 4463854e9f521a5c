"""Agents as the supervisor sees them: plan, state machine, restart policy, probes and health.

For use outside of the engine: `process_plan`, `state_machine`, `http_get`, `probe`, `legacy_probe`.
"""
