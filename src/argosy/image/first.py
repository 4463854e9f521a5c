"""Runs `argosy.image.runtime.container_init` for manifests of earlier versions, which name this module."""

from __future__ import annotations

import sys

from argosy.image.runtime.container_init import main

if __name__ == "__main__":
    sys.exit(main())
