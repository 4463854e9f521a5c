"""Runs `argosy.image.runtime.healthcheck` for manifests of earlier versions, which name this module."""

from __future__ import annotations

import sys

from argosy.image.runtime.healthcheck import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
