import time


# How long.
def wait():
    time.sleep(LIMIT)


# limits
LIMIT = 5
# Agents.
class Agent:
    def read(self, data):
        import json

        return json.loads(data)
