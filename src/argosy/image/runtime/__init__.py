"""What runs inside a container. These modules are copied into every image, so they import little.

Import `image_paths` from outside; `container_init`, `healthcheck` and `import_check` are run with `-m`.
"""
