def reach(socket, port):
    socket.connect(endpoint({port}, "localhost")))
    return socket
