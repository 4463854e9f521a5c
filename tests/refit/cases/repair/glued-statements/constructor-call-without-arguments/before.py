class Agent:
    def __init__(self, level):

        super().__init__(*args, **kwargs)        self.level = level
