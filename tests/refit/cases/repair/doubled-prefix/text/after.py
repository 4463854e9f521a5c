def bind(socket, host):
    socket.bind(f"tcp://{host}:1")
