"""Once a file parses: the names that nothing in it binds, mended by what the file and its tree show."""
