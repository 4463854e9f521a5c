"""Whom a module speaks to: names and ports of others that it hands to what connects or asks.

Kept in full, words and numbers too: what a file may mean keeps a declared edge from being called unused.
"""

from __future__ import annotations

from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.peer_reference_scan import PeerReferences, find_peer_references


def collect(file: PythonFile) -> PeerReferences:
    return find_peer_references(file.parsed, file.index)


PEER_REFERENCES = FactKind("speech", PeerReferences, collect)
