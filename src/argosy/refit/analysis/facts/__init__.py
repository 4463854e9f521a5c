"""Kinds of facts that several rules read, one kind per module (a kind that one rule reads is in its file).

From outside: `class_facts`, `class_members`, `code_fragments`, `container_files`, `context_reexports`,
`external_imports`, `fleet_programs`, `health_ports`, `helper_uses`, `installed_packages`, `module_exports`,
`module_imports`, `module_ports`, `peer_references`, `tree_modules`, `unbound_names`.
"""
