class Agent:
    def __init__(self, name):
        super().__init__()
        """Set up."""
        self.name = name
