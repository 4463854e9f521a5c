def reach(socket, agent):
    socket.connect(endpoint({agent[, "localhost"))port']}")
    return socket
