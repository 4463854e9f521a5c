"""Health reporting in code, found by behavior: payloads, loops, sockets, HTTP handlers, status words.

To import from outside: `health_payloads`, `health_loops`, `health_endpoints`, `status_words`.
"""
