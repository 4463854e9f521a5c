"""What runs inside a container. These modules are copied into every image, so they import little.

From outside: `container_init`, `healthcheck`, `image_paths`.
"""
