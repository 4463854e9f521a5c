"""What the rewrites of rules share: the form of a codemod, the index of the tree, names across files.

From outside: `codemod`, `import_insertion`, `module_resolution`, `tree_index`.
"""
