"""Repairs what still ends the start of a file that parses, where the repair is certain.

A rule stands with its cases. It only reports code that fails in every run that reaches it; the loop in
`view_repair` checks each proposal against the compiler and the names.

From outside: `definition_order`, `duplicate_thread`, `failing_imports`, `missing_package`,
`none_for_default`, `rejected_sys_path`, `str_as_path`, `wrong_values`.
"""
