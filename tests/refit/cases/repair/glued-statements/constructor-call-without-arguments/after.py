class Agent:
    def __init__(self, level):

        self.level = level
