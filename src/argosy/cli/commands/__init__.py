"""One module for each command, with `configure(parser)` and `run(args)`, and modules that they share.

`argosy.cli.dispatch` imports them by name; nothing here is for use outside `argosy.cli`.
"""
