"""Literal addresses: which strings are addresses and how code uses them; shared by rules and codemods.

To import from outside: `address_sites` (the addresses of a file), `address_defaults`, `address_literals`,
`address_text`, `environment_reads`, `fleet_lookup`, `name_semantics`, `name_values`.
"""
