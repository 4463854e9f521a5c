passed = 3
print(f"
{passed} passed")
