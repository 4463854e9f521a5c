"""HTTP: the page, the JSON API, actions, server-sent events, OpenMetrics and OTLP.

From outside: `grafana`, `http_server`, `otlp`, `sse`, `token`.
"""
