"""The engine: plans, starts, supervises, adopts and explains the processes of a fleet.

`supervisor` runs on each machine and owns its agents (`unit`, `process`, `cells`), which `fork` starts by
`admission`; `state`, `logs`, `peering` and `deploy` are its files and other machines.
docs/explanation/processes.md.

From outside: `admission`, `cells`, `control`, `deploy`, `explain`, `fork`, `inventory`, `logs`, `plan`,
`process`, `protocol`, `state`, `supervisor`, `unit`.
"""
