def bind(socket, host):
    socket.bind(ff"tcp://{host}:1")
