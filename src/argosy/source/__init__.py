"""Static analysis of Python source: parsing, scopes, imports, requirements; nothing is imported or run.

Other packages may import any module here. This package imports nothing of argosy.

From outside: `ast_children`, `binder`, `bytecode_normal_form`, `control_flow`, `digest`, `distributions`,
`file_facts`, `git_tree`, `import_graph`, `import_statements`, `import_to_distribution`,
`install_manifests`, `literal_ports`, `module_finder`, `name_scopes`, `peer_reference_scan`,
`python_parser`, `python_source`, `requirements`, `startup_check`, `symbol_resolver`, `sys_path`,
`undefined_names`, `use_before_def`.
"""
