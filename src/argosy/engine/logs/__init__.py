"""The logs of agents and of the engine's own processes.

From outside: `log_file`, `log_keeper`, `log_reader`, `log_retention`, `log_watch`.
"""
