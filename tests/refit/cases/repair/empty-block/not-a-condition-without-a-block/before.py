def stop(self):
    if self.open:


def start(self):
    return None
