"""Answers about a fleet that change nothing, except `fault_drill`; all modules are for use outside.

Before a start: `preflight`, `diagnostics`, `start_simulation`. Afterwards: `start_timeline`,
`timing_history`, `restart_impact`, `staleness`, `live_edges`.
"""
