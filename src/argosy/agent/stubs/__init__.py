"""Stub files of typed peers, rendered from the sources of agents.

Imported from outside: `handler_spec`, `stub_file`.
"""
