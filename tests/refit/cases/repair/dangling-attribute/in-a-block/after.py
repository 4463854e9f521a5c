def stop(self):
    self.running = False
    self.context = None
