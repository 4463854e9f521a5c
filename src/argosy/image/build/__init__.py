"""Builds images as an OCI layout and tests them by running them, without a container engine.

Import `build_pipeline`, `build_record`, `smoke_test`, `wheels`, `debian` and `disk_errors` from outside.
"""
