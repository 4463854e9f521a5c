"""Ingestion of the event log, agent logs, supervisor status and scraped metrics; the current state.

From outside: `current_state`, `event_log_tail`, `log_scanner`, `scraper`, `status_poller`.
"""
