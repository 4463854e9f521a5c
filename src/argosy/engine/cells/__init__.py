"""Cells: processes that several agents share.

From outside: `cell_logs`, `managed_cell`.
"""
