def stop(self):
    try:
        self.close()
    finally:
        pass


def start(self):
    return None
