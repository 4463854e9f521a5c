"""The store: a hub's events and samples in one SQLite file, its writer and its readers.

For use from outside: `store_writer.StoreWriter`, `store_reader.StoreReader`, `records`.
"""
