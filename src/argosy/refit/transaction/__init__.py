"""Changes files: changes as data, edits of text, checks of the result, and runs that can be undone.

From outside: `atomic_replace`, `file_transaction`, `git_status`, `post_checks`, `source_change`,
`source_view`, `text_edit`, `text_positions`, `token_diff`, `tree_diff`, `verify`.
"""
