print("done")

