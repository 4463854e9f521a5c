class Agent:
    options = read_options()
    def start(self):
        return self.options
