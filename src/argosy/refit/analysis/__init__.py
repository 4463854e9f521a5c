"""What one file or a tree contains, read without importing it: sockets, contexts, threads, addresses, damage.

Rules and codemods build on it. To import from outside: every module here, and the packages `addresses`
(literal addresses), `health` (health loops and payloads) and `facts` (cached data of single files).
"""
