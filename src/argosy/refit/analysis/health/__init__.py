"""How code answers for its health, found by what it does: payloads, loops, sockets, servers, words."""
