"""Z306: matches REQ sockets that a function creates for the requests of one call.

Rewrites the creation of the socket to one on a pooled connection, if the socket makes one request. Cases:
`RULE` in `z306_rule`, tests/refit/codemods/z306.

From outside: `request_replacement`.
"""
