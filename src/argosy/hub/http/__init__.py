"""HTTP: the page, the JSON API, actions, server-sent events, OpenMetrics and OTLP.

For use from outside: `http_server.HubHttpServer`, `token`, `grafana`, `otlp`.
"""
