"""Typed client stubs of agents, written from their sources: their methods, arguments and types.

From outside: `handler_spec`, `stub_file`.
"""
