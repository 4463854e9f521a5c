total = sum(range(3)
count = 2
