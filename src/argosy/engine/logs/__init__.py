"""The logs of agents and of the engine's own processes.

From outside: `daemon_log`, `line_search`, `log_file`, `log_keeper`, `log_reader`, `log_retention`,
`log_watch`, `terminal_escape`.
"""
