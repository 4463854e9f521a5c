from base import Agent
from loader import load

config = load()
try:
    import fast
    FAST_AVAILABLE = True
except ImportError:
    FAST_AVAILABLE = False
