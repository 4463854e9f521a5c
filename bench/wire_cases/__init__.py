"""The libraries that bench/wire.py compares, each with an echo server and its callers.

A module `by_NAME` has `serve(where)`, which never returns, and `load_functions(where)`, which returns load
functions by name; `where` is the folder of the bench's sockets. Both run in processes of their own, see
`worker`.
"""
