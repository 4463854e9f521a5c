try:
from fast import loads
except ImportError:
    from json import loads

print(loads("1"))
