class Agent:
    def read(self, data):
        """Read."""
        import json
        return json.loads(data)

    def close(self):
        return None
