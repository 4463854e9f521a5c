"""Sockets and the event loop: the reactor, ZeroMQ and unix connections, monitors and bindings.

From outside: `binding`, `incoming_message`, `reactor`, `router_path`, `socket_monitor`, `unix_connection`,
`zmq_connection`.
"""
