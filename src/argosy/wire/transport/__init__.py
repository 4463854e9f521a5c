"""Transports below the protocol: ZeroMQ and Unix connections, and the reactor that drives them.

From outside: `binding`, `incoming_message`, `reactor`, `router_path`, `socket_monitor`, `unix_connection`,
`zmq_connection`.
"""
