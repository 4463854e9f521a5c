"""The process's one ZeroMQ context, and handles on it that are used like contexts of their own.

Users import `argosy.wire.context`.

From outside: `closing_sockets`, `context_handle`, `context_shutdown`, `zmq_instance`.
"""
