"""Transports below the protocol: ZeroMQ and Unix connections, and the reactor that drives them.

From outside: `incoming_message`, `reactor`, `socket_monitor`, `unix_connection`, `zmq_connection`.
"""
