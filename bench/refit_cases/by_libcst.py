"""Rewrites the contexts of a folder by LibCST and prints the number of replaced sites.

Names are resolved by LibCST's metadata, as argosy resolves them by its scopes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import libcst
from libcst.metadata import MetadataWrapper, QualifiedNameProvider


class Contexts(libcst.CSTTransformer):
    """Replaces each `zmq.Context()`, under any name it has in the file."""

    METADATA_DEPENDENCIES = (QualifiedNameProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.sites = 0

    def leave_Call(  # noqa: N802 - the name is LibCST's
        self, original_node: libcst.Call, updated_node: libcst.Call
    ) -> libcst.BaseExpression:
        names = self.get_metadata(QualifiedNameProvider, original_node.func, set())
        if any(item.name == "zmq.Context" for item in names):
            self.sites += 1
            return libcst.parse_expression("argosy.wire.context()")
        return updated_node


def main() -> None:
    sites = 0
    for path in sorted(Path(sys.argv[1]).rglob("*.py")):
        wrapper = MetadataWrapper(libcst.parse_module(path.read_bytes()))
        change = Contexts()
        compile(wrapper.visit(change).code, str(path), "exec")
        sites += change.sites
    print(sites)


if __name__ == "__main__":
    main()
