"""The lock of an image plan: which packages and wheels each image has, for one kind of machine.

From outside: `image_lock`, `machine_lock`.
"""
