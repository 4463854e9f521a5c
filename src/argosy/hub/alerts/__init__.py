"""Alerts: evaluation, silences, delivery to receivers, recoveries, and actions on agents.

For use from outside: `alert_manager.AlertManager`, `actions.ActionExecutor`, `silences`.
"""
