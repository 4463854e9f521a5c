"""Changes files: changes as data, edits of text, checks of the result, and runs that can be undone.

Import `source_change` and `source_view` to plan, `text_edit` and `post_checks` to apply and check, and
`file_transaction`, `atomic_replace`, `git_status` and `verify` to write.
"""
