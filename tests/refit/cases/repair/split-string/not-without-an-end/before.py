passed = 3
print("passed)
print(passed)
