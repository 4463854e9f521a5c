"""Z301: matches calls that create a ZeroMQ context, and places where the class `zmq.Context` escapes.

Rewrites `zmq.Context()` to `argosy.wire.context()`, if no code in the tree can tell the difference. Cases:
`RULE` in `z301_rule`, tests/refit/codemods/z301.

From outside: `context_replacement`.
"""
