"""Literal addresses: which strings are addresses and how code uses them; shared by rules and codemods.

From outside: `address_literals`, `address_sites`, `environment_reads`, `name_semantics`.
"""
