def f():
    return 1


print("begin")
    print("end")
