def show(ok):
    print(f"status: {\"good\" if ok else \"bad\"}")
