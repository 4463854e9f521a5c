"""Builds images as an OCI layout and tests them by running them, without a container engine.

From outside: `build_pipeline`, `build_record`, `image_builder`, `image_size`, `oci_layout`.
"""
