"""The hub: what a machine's agents say of themselves, kept, shared with other machines, and shown."""
