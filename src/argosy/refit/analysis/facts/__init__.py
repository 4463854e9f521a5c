"""Kinds of facts that several rules read, by subject (a kind that one rule reads is in its file).

From outside: `class_facts`, `code_fragments`, `container_files`, `external_imports`, `fleet_programs`,
`installed_packages`, `module_names`, `module_ports`,
`tree_modules`.
"""
