total = sum(range(3)))
count = len([1, 2]])
