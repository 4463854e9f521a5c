"""Alerts: evaluation, silences, delivery to receivers, recoveries, and actions on agents.

From outside: `actions`, `alert_manager`, `silences`.
"""
