"""Repairs what still ends the start of a file that parses, where the repair is certain.

A rule is one module with its cases. It only reports code that fails in every run that reaches it; the loop in
`startup_fixpoint` checks each proposal against the compiler and the names.

From outside: `project_context`, `startup_fixpoint`.
"""
