"""Which images and containers a fleet needs, from its sources and its lock.

Import `image_plan`, `container_plan`, `image_lock`, `image_size` and `known_packages` from outside.
"""
