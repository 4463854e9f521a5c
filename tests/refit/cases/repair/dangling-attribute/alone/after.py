def stop(self):
    if self.socket:
        pass
    return None
