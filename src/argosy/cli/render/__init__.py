"""Renders the results of commands as text, JSON and HTML. Only `argosy.cli.commands` imports these.

From outside: `audit_page`, `audit_sarif`, `audit_view`, `claims_view`, `graph_page`,
`graph_text`, `graph_view`, `image_view`, `refit_text`, `timeline_page`, `timeline_text`,
`top_view`, `track_view`, `up_view`.
"""
