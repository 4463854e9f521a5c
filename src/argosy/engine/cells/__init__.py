"""Cells: processes that several agents share.

Import from outside: `cell_plan` (names and specs of cell processes), `managed_cell` and `member`
(units of the supervisor), `cell_logs` (logs by agent).
"""
