print("done")

def count(self, items):
    """Count."""
    return len(items)
