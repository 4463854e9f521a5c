"""The process's one ZeroMQ context, and handles on it that are used like contexts of their own.

Imported from outside: `context_handle`, `context_shutdown`, `port_release`, `zmq_instance`. Users import
`argosy.wire.context`.
"""
