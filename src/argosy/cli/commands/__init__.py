"""One module for each command, with `configure(parser)` and `run(args)`, and modules that they share."""
