"""The logs of agents and of the engine's own processes.

All modules may be imported from outside: `log_file` and `log_reader` for agents' logs, `log_keeper`
and `log_watch` in the supervisor, `daemon_log` for the supervisor and the hub, `line_search`,
`log_retention` and `terminal_escape` as helpers.
"""
