class Agent:
    def __init__(self):
        self.bus = connect(self)
    def read(self):
        """Read."""
        return self.bus

    def close(self):
        self.bus = None
