import os


def path(name):
    return os.path.join("cache", name)
