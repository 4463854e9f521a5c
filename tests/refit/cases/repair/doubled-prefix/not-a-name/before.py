def bind(socket, host):
    socket.bind(pp"tcp://:1")
