"""The peers of a module: names and ports of other agents that it passes to calls that connect or send.

All strings and numbers are kept: a possible reference to a peer keeps a declared edge from being called
unused.
"""

from __future__ import annotations

from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.peer_reference_scan import PeerReferences, find_peer_references


def collect(file: PythonFile) -> PeerReferences:
    return find_peer_references(file.parsed, file.index)


PEER_REFERENCES = FactKind("peer references", PeerReferences, collect)
