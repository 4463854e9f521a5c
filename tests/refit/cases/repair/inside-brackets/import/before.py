from ports import (
from env import get
    FIRST,
    SECOND,
)
print(get(FIRST), SECOND)
