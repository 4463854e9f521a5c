from enum import Enum


class Level(BaseAgent)(Enum):
    LOW = 1
