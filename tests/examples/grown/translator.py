import zmq


def ask(port):
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.connect(f"tcp://127.0.0.1:{port}")
    socket.send_json({"action": "health"})
    return socket.recv_json()


def main():
    context = zmq.Context()
    socket = context.socket(zmq.REP)
    socket.bind("tcp://*:5595")
    while True:
        asked = socket.recv_json()
        socket.send_json({"status": "ok", "action": asked["action"]})


if __name__ == "__main__":
    main()
