"""The store: a hub's events and samples in one SQLite file, its writer and its readers.

From outside: `block_codec`, `legacy_names`, `records`, `store_file`, `store_reader`, `store_writer`.
"""
