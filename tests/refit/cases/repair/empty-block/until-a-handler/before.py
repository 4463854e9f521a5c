def read(self):
    while self.running:
        try:
        data = self.receive()
        self.send(data)
        except OSError:
            continue
