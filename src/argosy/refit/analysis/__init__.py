"""What one file or a tree contains, read without importing it: sockets, contexts, threads, addresses, damage.

Rules and codemods build on it.

From outside: `addresses`, `ast_queries`, `block_structure`, `context_class`, `context_names`, `damage`,
`exit_paths`, `facts`, `health`, `helper_contract`, `injected_block`, `lenient_statements`, `lenient_tokens`,
`pyzmq_names`, `requirement_lists`, `socket_lifetime`, `socket_uses`, `source_edges`, `testing_code`.
"""
