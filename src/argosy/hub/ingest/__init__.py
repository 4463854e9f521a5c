"""Ingestion of the event log, agent logs, supervisor status and scraped metrics; the current state.

For use from outside: `current_state.CurrentState`, `state_updater.StateUpdater`, and the sources' classes.
"""
