"""Kinds of facts that several rules read, by subject (a kind that one rule reads is in its file).

From outside: `class_facts`, `class_members`, `code_fragments`, `container_files`, `context_reexports`,
`external_imports`, `fleet_programs`, `helper_uses`, `installed_packages`, `module_names`, `module_ports`,
`tree_modules`.
"""
