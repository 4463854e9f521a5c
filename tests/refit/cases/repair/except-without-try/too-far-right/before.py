def read(data):
    for attempt in range(3):
        try:
            return int(data)

            except ValueError as e:
                print(e)
    return None
