from env import get
from ports import (
    FIRST,
    SECOND,
)
print(get(FIRST), SECOND)
