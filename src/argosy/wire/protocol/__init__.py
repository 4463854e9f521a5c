"""Records and frames on the wire.

From outside: `codec`, `frame`.
"""
