def read(data):
    try:
        print(1)
        from json import (
            dumps,
            loads,
        )
        return loads(data)
    except ValueError:
        return dumps(1)
