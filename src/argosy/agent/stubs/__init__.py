"""Stub files of typed peers, rendered from the sources of agents.

From outside: `handler_spec`, `stub_file`.
"""
