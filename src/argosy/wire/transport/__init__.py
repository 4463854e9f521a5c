"""Transports below the protocol: ZeroMQ and Unix connections, and the reactor that drives them.

Imported from outside: `reactor`, `binding`, `socket_monitor`, `zmq_connection`.
"""
