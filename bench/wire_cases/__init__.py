"""The ways to ask an echo that bench/wire.py compares, each with its server and its callers.

A module `by_NAME` has `serve(where)`, which never returns, and `ways(where)`, which returns by
name what a caller can be ordered to do; `where` is the folder of the bench's sockets. Both run
in processes of their own, see `program`.
"""
