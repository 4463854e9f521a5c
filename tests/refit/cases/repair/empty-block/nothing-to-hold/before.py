def stop(self):
    try:
        self.close()
    finally:


def start(self):
    return None
