class Agent:
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.level = 9
        self.name = "x"
