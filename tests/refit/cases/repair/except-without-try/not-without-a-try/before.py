def read(data):
    return int(data)
except ValueError:
    pass
