try:
    import fast
    FAST_AVAILABLE 
from base import Agent
from loader import load

config = load()= True
except ImportError:
    FAST_AVAILABLE = False
