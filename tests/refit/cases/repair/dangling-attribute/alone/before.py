def stop(self):
    if self.socket:
        self.
    return None
