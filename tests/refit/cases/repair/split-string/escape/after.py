passed = 3
print(f"\n{passed} passed")
