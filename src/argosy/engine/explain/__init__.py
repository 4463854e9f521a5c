"""Before a start: `preflight`, `diagnostics`. Afterwards: `start_timeline`,
`timing_history`, `restart_impact`, `staleness`, `live_edges`.

From outside: `diagnostics`, `drill_load`, `fault_drill`, `fleet_overview`, `install_hint`, `live_edges`,
`preflight`, `restart_impact`, `staleness`, `start_timeline`, `startup_faults`,
`timing_history`.
"""
