"""B501, B502: matches a tree's own base class of agents, and its service discovery functions.

Rewrites the definition to an import of argosy's version, if that has every member that the tree uses. Cases:
tests/refit/codemods/b501.

From outside: `base_replacement`.
"""
