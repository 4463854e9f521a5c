"""Files of the engine: the state directory, its locks and records, and the runtime directory.

`state_dir` has the paths; `event_log`, `applied_plan`, `unit_state_store` and `source_snapshot` are the
records; `known_fleets` and `state_cleanup` scan the directories of all fleets.

From outside: `damaged_stores`, `event_log`, `file_backups`, `file_identity`, `filesystem`, `generation`,
`runtime_sockets`, `source_snapshot`, `state_dir`, `tree_version`, `unit_state_store`.
"""
