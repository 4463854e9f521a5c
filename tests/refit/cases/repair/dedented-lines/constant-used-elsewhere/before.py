import time


# How long.
def wait():
    time.sleep(LIMIT)


# Agents.
class Agent:
    def read(self, data):
        import json

# limits
LIMIT = 5
        return json.loads(data)
