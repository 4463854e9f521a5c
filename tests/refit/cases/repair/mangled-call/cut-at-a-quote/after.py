def reach(socket, agent):
    socket.connect(endpoint(agent['port'], "localhost"))
    return socket
