"""The one ZeroMQ context of a process, and the handles through which users share it.

From outside: `context_handle`, `context_shutdown`, `port_release`, `zmq_instance`.
"""
