def stop(self):
    self.running = False
    self.
    self.context = None
