"""Once a file parses and its names are bound: what still ends its start, mended where that is certain.

A rule is one module with its cases. It proposes only what fails in every run that gets there; the loop in
`mending` holds each proposal against the compiler and the names.
"""
