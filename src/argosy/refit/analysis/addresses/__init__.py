"""Literal addresses: which strings are addresses and how code uses them; shared by rules and codemods.

From outside: `address_defaults`, `address_literals`, `address_sites`, `environment_reads`, `fleet_lookup`,
`name_semantics`, `name_values`.
"""
