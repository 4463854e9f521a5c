"""Files of the engine: the state directory, its locks and records, and the runtime directory.

All modules may be imported from outside. `state_dir` has the paths; `event_log`, `applied_plan`,
`unit_state_store` and `source_snapshot` are the records; `known_fleets` and `state_cleanup` scan
the directories of all fleets.
"""
