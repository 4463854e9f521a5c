"""Health reporting in code, found by behavior: payloads, loops, sockets, HTTP handlers, status words.

From outside: `health_endpoints`, `health_loops`, `health_payloads`.
"""
